"""Zips of packages: what goes in, the same bytes each time, and nothing left where it fails."""

from __future__ import annotations

import builtins
import hashlib
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.emulator.project import DOUBLE, TestProject
from test.utils.packages import write
from ubiops import utils
from ubiops.utils.packages import zips

OUTSIDE = "../outside.txt"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "outside.txt").write_text("private")
    return write(tmp_path / "model", {"deployment.py": DOUBLE})


def names(archive: str) -> list[str]:
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        return opened.namelist()


# What goes in


def test_a_build_takes_the_zip(package: Path, project: TestProject) -> None:
    write(package, {"helpers/__init__.py": "", "weights/wéights.txt": "1"})
    project.create_deployment()
    project.create_version()
    archive = utils.zip_package(package, package.parent)
    upload = project.api.revisions_file_upload("lab", "model", "v1", file=archive)
    assert project.wait_for_build(upload.build).status == "success"
    assert project.request({"x": 2}) == {"y": 4}
    [version] = project.api.deployment_versions_list("lab", "model")
    with project.api.revisions_file_download("lab", "model", version.active_revision, "v1") as downloaded:
        assert hashlib.sha256(downloaded.read()).hexdigest() == archive.sha256


def test_what_is_never_zipped(package: Path) -> None:
    never = [".git/config", "a/__pycache__/x.txt", "a/b.pyc", ".ubiops-ignore", "a/.ubiops-ignore", "env/lib/x.py"]
    write(package, {name: "" for name in [*never, "env/pyvenv.cfg", "a/.git", ".gitignore", "a/b.py", "environment"]})
    assert utils.list_files(package) == [".gitignore", "a/b.py", "deployment.py", "environment"]


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("*.log", ["data/b.txt", "deployment.py", "sub/data/c.txt"]),
        ("# *.log\n\n  \n*.log\n!a.log", ["data/a.log", "data/b.txt", "deployment.py", "sub/data/c.txt"]),
        ("/data/", ["deployment.py", "sub/data/c.txt", "sub/x.log"]),
        ("data", ["deployment.py", "sub/x.log"]),
        ("sub/*\n!sub/x.log", ["data/a.log", "data/b.txt", "deployment.py", "sub/x.log"]),
        # As in git, what is in an ignored folder can't be had back.
        ("data/\n!data/b.txt", ["deployment.py", "sub/x.log"]),
        ("**/c.txt\n[a-b].*", ["deployment.py", "sub/x.log"]),
        ("*\n!*/\n!*.txt", ["data/b.txt", "sub/data/c.txt"]),
        ("deployment.py/", ["data/a.log", "data/b.txt", "deployment.py", "sub/data/c.txt", "sub/x.log"]),
    ],
)
def test_the_rules_are_those_of_gitignore(package: Path, rules: str, kept: list[str]) -> None:
    write(package, {"data/a.log": "", "data/b.txt": "", "sub/data/c.txt": "", "sub/x.log": "", ".ubiops-ignore": rules})
    assert utils.list_files(package) == kept


def test_a_folder_may_have_rules_of_its_own(package: Path) -> None:
    write(package, {"sub/a.log": "", "sub/b.log": "", "sub/c.txt": "", "top.log": "", ".ubiops-ignore": "*.log\n"})
    write(package, {"sub/.ubiops-ignore": "!b.log\n/c.txt\n"})
    assert utils.list_files(package) == ["deployment.py", "sub/b.log"]


def test_the_ignore_file_may_have_another_name_or_none(package: Path) -> None:
    write(package, {".gitignore": "a.txt", ".ubiops-ignore": "b.txt", "a.txt": "", "b.txt": ""})
    assert utils.list_files(package, ".gitignore") == [".ubiops-ignore", "b.txt", "deployment.py"]
    assert utils.list_files(package, "") == [".gitignore", ".ubiops-ignore", "a.txt", "b.txt", "deployment.py"]
    # As Windows writes it.
    (package / ".ubiops-ignore").write_bytes("\ufeffb.txt\r\n".encode())
    assert "b.txt" not in utils.list_files(package)


def test_rules_that_are_none_are_named(package: Path) -> None:
    write(package, {".ubiops-ignore": "*.log\n!\n[z-a]\n"})
    with pytest.raises(utils.InvalidPackage) as caught:
        utils.zip_package(package)
    assert [re.sub("^.*/", "", problem)[:31] for problem in caught.value.problems] == [
        ".ubiops-ignore:2: '!' isn't a r",
        ".ubiops-ignore:3: '[z-a]' isn't",
    ]
    (package / ".ubiops-ignore").write_bytes(b"\xff")
    with pytest.raises(utils.InvalidPackage, match="rules can't be read"):
        utils.zip_package(package)


def test_without_pathspec_an_ignore_file_is_an_error(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a machine without the extra.
    monkeypatch.setitem(sys.modules, "pathspec", None)
    assert utils.list_files(package) == ["deployment.py"]
    write(package, {".ubiops-ignore": ""})
    with pytest.raises(utils.MissingExtra, match=r"\.ubiops-ignore needs pathspec: pip install pathspec"):
        utils.list_files(package)


# Links and what is no file


def test_links_in_the_package_are_followed(package: Path) -> None:
    write(package, {"data/a.txt": "content", "data/deep/b.txt": "", "data/no.log": "", ".ubiops-ignore": "/data/*.log"})
    write(package, {"secret/key": "", "secret/.ubiops-ignore": "*"})
    (package / "file.txt").symlink_to("data/a.txt")
    (package / "absolute.txt").symlink_to(package / "data" / "a.txt")
    (package / "folder").symlink_to("data")
    (package / "ignored.txt").symlink_to("data/no.log")
    (package / "git").symlink_to(".git")
    (package / "stolen").symlink_to("secret/key")
    write(package, {".git/config": ""})
    archive = utils.zip_package(package, package.parent)
    assert [name.removeprefix("deployment_package/") for name in names(archive)] == [
        "absolute.txt",
        "data/a.txt",
        "data/deep/b.txt",
        "deployment.py",
        "file.txt",
        "folder/a.txt",
        "folder/deep/b.txt",
    ]
    with zipfile.ZipFile(archive) as opened:
        assert opened.read("deployment_package/file.txt") == b"content"
    assert archive.skipped == []


def test_the_package_itself_may_be_a_link(package: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(package)
    (package / "copy.py").symlink_to("deployment.py")
    assert utils.list_files(link) == ["copy.py", "deployment.py"]


def test_links_out_of_the_package_and_to_nowhere_are_skipped_by_name(
    package: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (package / "model-data").mkdir()
    (package.parent / "model-2").mkdir()
    for name, target in {
        "dead": "nothing",
        "itself": "itself",
        "out": OUTSIDE,
        "folder": "..",
        "neighbour": "../model-2",
        "model-data/loop": "..",
        "through": "model-data/chain",
        "model-data/chain": "../" + OUTSIDE,
    }.items():
        (package / name).symlink_to(target)
    with caplog.at_level(logging.WARNING, "ubiops.utils"):
        archive = utils.zip_package(package, package.parent)
    assert names(archive) == ["deployment_package/deployment.py"]
    out = "a link that leads out of the folder"
    assert sorted(archive.skipped) == [
        "dead: a link that leads nowhere: No such file or directory",
        f"folder: {out}",
        "itself: a link that leads nowhere: Too many levels of symbolic links",
        f"model-data/chain: {out}",
        "model-data/loop: a link to a folder that it is in",
        f"neighbour: {out}",
        f"out: {out}",
        f"through: {out}",
    ]
    assert [message.removeprefix("Not zipped: ") for message in caplog.messages] == archive.skipped


def test_folders_that_link_to_each_other_end(package: Path) -> None:
    write(package, {"a/x.txt": "", "b/y.txt": ""})
    (package / "a" / "b").symlink_to("../b")
    (package / "b" / "a").symlink_to("../a")
    listed = ["a/b/y.txt", "a/x.txt", "b/a/x.txt", "b/y.txt", "deployment.py"]
    assert utils.list_files(package) == listed
    assert len(utils.zip_package(package, package.parent).skipped) == 2


def test_what_is_no_file_is_skipped_by_name(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(package / "pipe")
    # The path of a socket may be only some 100 bytes long.
    monkeypatch.chdir(package)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        archive = utils.zip_package(".", "..")
    assert archive.skipped == [f"{name}: a socket, a pipe or a device, not a file" for name in ("pipe", "socket")]
    assert names(archive) == ["deployment_package/deployment.py"]


def test_names_that_no_zip_can_hold_are_refused_all_at_once(package: Path) -> None:
    for name in (b"bad-\xff", b"..\\up", b"\\root", b"fine\\name"):
        Path(os.fsdecode(os.fsencode(package) + b"/" + name)).touch()
    with pytest.raises(utils.InvalidPackage) as caught:
        utils.zip_package(package)
    assert caught.value.problems == [
        "..\\up: the name would lead out of the package where it is unpacked; rename it",
        "\\root: the name would lead out of the package where it is unpacked; rename it",
        "bad-\\udcff: the name isn't valid UTF-8; rename it",
    ]


def test_what_cannot_be_read_is_refused_all_at_once(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(package, {"locked/x.txt": "", "private.txt": "", "ignored.txt": "", ".ubiops-ignore": "ignored.txt"})
    scan = os.scandir

    def refuse(path: str) -> Any:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    # Both replaced, since who runs the tests as root may read everything.
    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "access", lambda path, _: not path.endswith(("private.txt", "ignored.txt")))
    with pytest.raises(utils.InvalidPackage) as caught:
        utils.list_files(package)
    assert caught.value.problems == [
        "private.txt: can't read the file: Permission denied",
        "locked: can't read the folder: Permission denied",
    ]


# The bytes


def test_the_same_files_give_the_same_bytes(package: Path, tmp_path: Path) -> None:
    files = {"b.txt": "1", "a/z.txt": "2", "a.txt": "3"}
    write(package, files)
    copy = write(tmp_path / "elsewhere", dict(reversed([*files.items(), ("deployment.py", DOUBLE)])))
    (copy / "a.txt").chmod(0o755)
    os.utime(copy / "b.txt", (1, 1))
    (copy / "empty").mkdir()
    first, second = utils.zip_package(package, tmp_path / "1.zip"), utils.zip_package(copy, tmp_path / "2.zip")
    assert Path(first).read_bytes() == Path(second).read_bytes()
    assert first.sha256 == second.sha256 == hashlib.sha256(Path(first).read_bytes()).hexdigest()
    assert first.size == os.path.getsize(first)
    (copy / "a.txt").write_text("4")
    assert utils.zip_package(copy, tmp_path / "2.zip").sha256 != first.sha256


def test_times_permissions_and_order_are_fixed(package: Path, tmp_path: Path) -> None:
    write(package, {"a/b.txt": "1", "a.txt": "2", "B": "3"})
    with zipfile.ZipFile(utils.zip_package(package, tmp_path)) as opened:
        entries = opened.infolist()
    assert [entry.filename.removeprefix("deployment_package/") for entry in entries] == sorted(
        ["a/b.txt", "a.txt", "B", "deployment.py"]
    )
    for entry in entries:
        described = (entry.date_time, entry.external_attr >> 16, entry.create_system, entry.compress_type)
        assert described == ((1980, 1, 1, 0, 0, 0), 0o100644, 3, zipfile.ZIP_DEFLATED)


def test_other_programs_read_the_zip(package: Path, tmp_path: Path) -> None:
    write(package, {"ü/ñ.txt": "content" * 10**6, "empty.txt": ""})
    archive = utils.zip_package(package, tmp_path)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "out")
    unpacked = tmp_path / "out" / "deployment_package"
    assert (unpacked / "ü" / "ñ.txt").read_text() == "content" * 10**6
    assert (unpacked / "empty.txt").read_text() == ""


# Where it goes


def test_by_default_it_is_a_new_private_file(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where the system's folder for temporary files is, is found out once.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = utils.zip_package(package), utils.zip_package(package)
    assert first != second
    assert Path(first) == tmp_path / "model.zip"
    for path in (first, second):
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert names(path) == ["deployment_package/deployment.py"]


def test_the_zip_is_not_in_itself(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(package)
    first = utils.zip_package(".", ".")
    assert Path(first) == package / "model.zip"
    assert utils.zip_package(".", "model.zip").sha256 == first.sha256
    (package / "inner").symlink_to(".")
    assert names(utils.zip_package(package, "inner/model.zip")) == ["deployment_package/deployment.py"]


def test_only_a_zip_is_replaced(package: Path) -> None:
    with pytest.raises(ubiops.ApiValueError, match=r"deployment.py' exists and isn't a zip"):
        utils.zip_package(package, package / "deployment.py")
    assert (package / "deployment.py").read_text() == textwrap.dedent(DOUBLE)


@pytest.mark.parametrize("zip_it", [utils.zip_package, utils.zip_dir])
def test_arguments_that_cannot_be(package: Path, zip_it: Callable[..., Any]) -> None:
    name, output = zip_it.__name__, package.parent / "x.zip"
    with pytest.raises(
        ubiops.ApiValueError, match=f"`directory` when calling `{name}`, the folder .*nowhere' doesn't exist"
    ):
        zip_it(package / "nowhere", output)
    with pytest.raises(ubiops.ApiValueError, match=r"must be a folder, but .*deployment.py' is a file"):
        zip_it(package / "deployment.py", output)
    with pytest.raises(ubiops.ApiTypeError, match=r"`directory`.*got int"):
        zip_it(1, output)
    with pytest.raises(ubiops.ApiTypeError, match=r"`output_path`.*got int"):
        zip_it(package, 1)
    with pytest.raises(ubiops.ApiValueError, match=r"the folder .*no' doesn't exist: create it first"):
        zip_it(package, package / "no" / "x.zip")
    (package / "deployment.py").unlink()
    with pytest.raises(ubiops.ApiValueError, match=r"no file to zip in .*model': it is empty"):
        zip_it(package, output)
    assert not output.exists()


def test_zip_dir_takes_no_place_that_is_taken(package: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.zip"
    output.write_text("precious")
    with pytest.raises(ubiops.ApiValueError, match=r"x\.zip' exists: force=True replaces it"):
        utils.zip_dir(package, output)
    assert output.read_text() == "precious"
    assert utils.zip_dir(package, output, force=True) == str(output)
    assert names(str(output)) == ["deployment_package/deployment.py"]


def test_zip_dir_names_the_zip_and_the_folder_in_it(package: Path, tmp_path: Path) -> None:
    write(package, {"x.log": "", ".ignored": "*.log"})
    archive = utils.zip_dir(package, tmp_path, ".ignored", prefix="v1", package_directory="model")
    assert re.fullmatch(r"v1_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}\.zip", os.path.basename(archive))
    assert names(archive) == ["model/deployment.py"]
    assert os.path.basename(utils.zip_dir(package, tmp_path)).startswith("model_2")
    for folder in (None, ""):
        assert "deployment.py" in names(utils.zip_dir(package, tmp_path, package_directory=folder))
    for folder in ("a/b", "..", "a\\b"):
        with pytest.raises(ubiops.ApiValueError, match="`package_directory`"):
            utils.zip_dir(package, tmp_path, package_directory=folder)


def test_default_names_differ() -> None:
    assert utils.default_zip_name("a") != utils.default_zip_name("a")
    assert utils.default_zip_name(None).startswith("package_")


def test_files_that_are_there(package: Path) -> None:
    write(package, {"a/b.txt": "", "c.log": "", ".ubiops-ignore": "*.log"})
    wanted: list[Any] = [Path("a/b.txt"), "./deployment.py", "c.log", "none", "a", "../model/deployment.py"]
    assert utils.files_present_in_dir(wanted, package) == [os.path.join("a", "b.txt"), "./deployment.py"]
    assert not utils.files_present_in_dir(["none"], package)
    with pytest.raises(ubiops.ApiTypeError, match="expected a list of paths, got str"):
        utils.files_present_in_dir("deployment.py", package)


def test_the_path_survives_pickle(package: Path, tmp_path: Path) -> None:
    archive = utils.zip_package(package, tmp_path)
    copy = pickle.loads(pickle.dumps(archive))
    assert copy == archive
    assert vars(copy) == vars(archive)


# Where it fails


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"model", "outside.txt"}


def test_a_zip_that_would_be_too_large_is_an_error(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real limit would take minutes to reach.
    monkeypatch.setattr(zips, "MAXIMUM_ZIP_SIZE", 2**20)
    (package / "noise.bin").write_bytes(os.urandom(2**20))
    with pytest.raises(utils.InvalidPackage, match="the zip would be larger than"):
        utils.zip_package(package, tmp_path)
    assert left(tmp_path) == set()
    (package / "noise.bin").write_bytes(bytes(2**24))
    archive = utils.zip_package(package, tmp_path)
    assert archive.size < 2**20
    # What is allowed is the limit itself, and no byte more.
    monkeypatch.setattr(zips, "MAXIMUM_ZIP_SIZE", archive.size)
    assert utils.zip_package(package, tmp_path).size == archive.size
    monkeypatch.setattr(zips, "MAXIMUM_ZIP_SIZE", archive.size - 1)
    with pytest.raises(utils.InvalidPackage, match="the zip would be larger than"):
        utils.zip_package(package, tmp_path)


def test_a_file_that_fails_half_way_leaves_nothing(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It opens and fails when it is read; a file on a broken disk can't be had otherwise.
    (package / "memory").symlink_to("/proc/self/mem")
    real_open = open
    monkeypatch.setattr(
        builtins,
        "open",
        lambda path, *args, **more: real_open(
            "/proc/self/mem" if str(path).endswith("deployment.py") else path, *args, **more
        ),
    )
    with pytest.raises(ubiops.exceptions.ApiFileError, match=r"deployment.py' could not be read to its end: Input/out"):
        utils.zip_package(package, tmp_path)
    assert left(tmp_path) == set()


FAIL = """
import resource, signal, sys
from ubiops import utils
{prepare}
try:
    utils.zip_package(sys.argv[1], sys.argv[2])
except BaseException as error:
    print(type(error).__name__, error)
"""
FULL_DISK = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))"
INTERRUPT = """
from ubiops.utils import progress_bar
progress_bar.Progress.advance = lambda self, amount: signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.parametrize(
    ("prepare", "error"),
    [(FULL_DISK, r"ApiFileError The zip can't be written .*x\.zip: File too large"), (INTERRUPT, "KeyboardInterrupt")],
)
def test_a_full_disk_and_ctrl_c_leave_nothing(package: Path, tmp_path: Path, prepare: str, error: str) -> None:
    # In a process of its own: a limit on the size of files stands in for the full disk.
    (package / "noise.bin").write_bytes(os.urandom(2**22))
    command = [sys.executable, "-W", "error", "-c", FAIL.format(prepare=prepare), str(package), str(tmp_path / "x.zip")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.match(error, done.stdout), done
    assert done.stderr == ""
    assert left(tmp_path) == set()
