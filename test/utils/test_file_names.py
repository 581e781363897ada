"""The names that files get in a bucket and on disk, and those that they don't."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.server import Answer, Server
from test.utils.storage import Signer, Storage, below, make
from ubiops.exceptions import ApiException, ApiFileError, ApiTypeError, ApiValueError
from ubiops.utils import IncompleteTransfer, download_files, upload_files
from ubiops.utils.files import names as file_names


@pytest.mark.usefixtures("signer")
class TestUpload:
    def names(self, client: ubiops.ApiClient, paths: Any, prefix: str | None = None) -> list[str]:
        uris = upload_files(client, "p", paths, file_prefix=prefix)
        return [uri.removeprefix("ubiops-file://default/") for uri in uris]

    def test_a_file_has_its_last_part_and_a_folder_what_is_below_it(
        self, client: ubiops.ApiClient, storage: Storage, folder: Path
    ) -> None:
        make(folder, "data/cars.csv", "data/2022/jan/cars.csv", "data/.hidden/x", "one/other.csv")
        names = ["other.csv", ".hidden/x", "2022/jan/cars.csv", "cars.csv"]
        for data in ("data", "data/", folder / "data", "one/../data", "./data"):
            assert self.names(client, ["one/other.csv", data]) == names
        assert storage.files["2022/jan/cars.csv"] == b"data/2022/jan/cars.csv"
        assert self.names(client, "data/cars.csv") == ["cars.csv"]

    @pytest.mark.parametrize("prefix", ["raw/new", "raw/new/", "/raw/new"])
    def test_a_prefix_is_a_folder(self, prefix: str, client: ubiops.ApiClient, folder: Path) -> None:
        make(folder, "data/2022/x", "y")
        assert self.names(client, ["data", "y"], prefix) == ["raw/new/2022/x", "raw/new/y"]

    @pytest.mark.parametrize("prefix", ["", "/", None])
    def test_no_prefix(self, prefix: str | None, client: ubiops.ApiClient, folder: Path) -> None:
        make(folder, "x")
        assert self.names(client, "x", prefix) == ["x"]

    def test_any_iterable_of_paths_will_do(self, client: ubiops.ApiClient, folder: Path) -> None:
        make(folder, "a", "b")
        for paths in (("a", "b"), iter(["a", b"b"]), [Path("a"), Path("b")], sorted(folder.iterdir())):
            assert self.names(client, paths) == ["a", "b"]
        assert self.names(client, b"a") == ["a"]

    def test_the_current_folder(self, client: ubiops.ApiClient, folder: Path) -> None:
        make(folder, "a/b", "c")
        assert self.names(client, ".") == ["a/b", "c"]

    def test_links_are_followed(self, client: ubiops.ApiClient, storage: Storage, folder: Path) -> None:
        make(folder, "elsewhere/deep/x", "file", "data/own")
        (folder / "data" / "linked").symlink_to(folder / "elsewhere")
        (folder / "data" / "again").symlink_to(folder / "elsewhere")
        (folder / "data" / "file").symlink_to("../file")
        assert self.names(client, "data") == ["again/deep/x", "file", "linked/deep/x", "own"]
        assert storage.files["file"] == b"file"

    def refused(self, client: ubiops.ApiClient, server: Server, paths: Any) -> str:
        with pytest.raises(
            ApiFileError, match=r"^Invalid value for `file_paths` when calling `upload_files`, "
        ) as caught:
            upload_files(client, "p", paths)
        assert server.requests == []
        return str(caught.value)

    def test_nothing_is_sent_where_a_path_leads_to_nothing(
        self, client: ubiops.ApiClient, server: Server, folder: Path
    ) -> None:
        make(folder, "x")
        assert "'missing'" in self.refused(client, server, ["x", "missing"])
        assert "can't read the file ''" in self.refused(client, server, "")

    def test_a_folder_that_is_empty(self, client: ubiops.ApiClient, server: Server, folder: Path) -> None:
        (folder / "empty" / "deeper").mkdir(parents=True)
        make(folder, "x")
        assert "the folder 'empty' contains no files" in self.refused(client, server, ["x", "empty"])

    def test_a_dead_link(self, client: ubiops.ApiClient, server: Server, folder: Path) -> None:
        make(folder, "data/x")
        (folder / "data" / "dead").symlink_to("nowhere")
        for paths in ("data", "data/dead"):
            assert "'data/dead' leads to 'nowhere', which doesn't exist" in self.refused(client, server, paths)

    def test_a_link_that_leads_back(self, client: ubiops.ApiClient, server: Server, folder: Path) -> None:
        make(folder, "data/a/x")
        (folder / "data" / "a" / "up").symlink_to("..")
        assert "'data/a/up' leads back" in self.refused(client, server, "data")

    def test_what_is_no_file(self, client: ubiops.ApiClient, server: Server, folder: Path) -> None:
        make(folder, "data/x")
        os.mkfifo(folder / "data" / "pipe")
        assert "'data/pipe' is neither" in self.refused(client, server, "data")
        (folder / "data" / "pipe").unlink()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("data/socket")
            assert "'data/socket' is neither" in self.refused(client, server, "data")

    def test_two_files_of_one_name(self, client: ubiops.ApiClient, server: Server, folder: Path) -> None:
        make(folder, "a/x", "b/x", "b/c/x")
        for paths in (["a/x", "b/x"], ["a", "b"], ["a", "a/x"], ["a/x"] * 2, ["b/c", "a"]):
            assert "would both be named 'x' in the bucket" in self.refused(client, server, paths)

    def test_one_file_under_two_names(self, client: ubiops.ApiClient, storage: Storage, folder: Path) -> None:
        make(folder, "a/b/x")
        assert self.names(client, ["a", "a/b"]) == ["b/x", "x"]
        assert storage.files == {"b/x": b"a/b/x", "x": b"a/b/x"}

    def test_a_name_that_is_no_unicode(self, client: ubiops.ApiClient, server: Server, folder: Path) -> None:
        (folder / os.fsdecode(b"caf\xe9")).touch()
        assert "isn't valid UTF-8: rename it" in self.refused(client, server, ".")

    @pytest.mark.parametrize("bad", [None, 7, [], [7], ["x", None], {"x": 1}.values()])
    def test_what_is_no_path(self, bad: Any, client: ubiops.ApiClient, server: Server, folder: Path) -> None:
        make(folder, "x")
        with pytest.raises((ApiTypeError, ApiFileError), match=r"`file_paths(\[\d\])?` when calling `upload_files`"):
            upload_files(client, "p", bad)
        assert server.requests == []

    def test_a_file_object_is_no_path(self, client: ubiops.ApiClient, server: Server, folder: Path) -> None:
        make(folder, "x")
        with (folder / "x").open("rb") as file:
            for given in (file, [file]):
                with pytest.raises(ApiTypeError, match=r"expected a path.*, got BufferedReader"):
                    upload_files(client, "p", given)  # type: ignore[arg-type]
        assert server.requests == []

    @pytest.mark.parametrize(
        ("options", "argument"),
        [({"parallel_uploads": n}, "parallel_uploads") for n in (0, -1, True, "2", 1.5, None)]
        + [({"file_prefix": 7}, "file_prefix")],
    )
    def test_other_arguments_are_checked(
        self, options: dict[str, Any], argument: str, client: ubiops.ApiClient, server: Server, folder: Path
    ) -> None:
        make(folder, "x")
        with pytest.raises((ApiTypeError, ApiValueError), match=f"`{argument}` when calling `upload_files`, "):
            upload_files(client, "p", "x", **options)
        assert server.requests == []


class TestDownload:
    def refused(self, client: ubiops.ApiClient, signer: Signer, folder: Path, *names: Any) -> IncompleteTransfer:
        """The error of a listing; nothing was downloaded or written."""
        signer.listed = [("fine", 4), *((name, 4) for name in names)]
        before = below(folder)
        with pytest.raises(IncompleteTransfer) as caught:
            download_files(client, "p", output_path="out")
        assert signer.given == 0
        assert below(folder) == before
        assert caught.value.completed == {}
        return caught.value

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("../x", "'..' between"),
            ("a/../../x", "'..' between"),
            ("a/..", "'..' between"),
            ("..", "'..' between"),
            (".", "'.' or"),
            ("a/./b", "'.' or"),
            ("/etc/passwd", "empty part"),
            ("//server/share", "empty part"),
            ("a//b", "empty part"),
            ("a/", "empty part"),
            ("", "empty part"),
            ("C:/x", "letter of a drive"),
            ("c:x", "letter of a drive"),
            ("..\\x", "backslash"),
            ("a\\b", "backslash"),
            ("\\\\server\\share", "backslash"),
            ("a\0b", "NUL"),
            ("x" * 256, "255 bytes"),
            ("a/" + "ü" * 128, "255 bytes"),
            ("\ud800", "isn't valid Unicode"),
        ],
    )
    def test_a_name_that_is_no_path_below_the_folder(
        self, name: str, why: str, client: ubiops.ApiClient, signer: Signer, folder: Path
    ) -> None:
        error = self.refused(client, signer, folder, name)
        assert list(error.failed) == [name]
        assert why in str(error.failed[name])
        assert error.remaining == ["fine"]
        assert why in str(error)
        assert repr(name) in str(error)

    @pytest.mark.parametrize("name", ["con", "NUL.txt", "a/b.", "a ", "ab:c", "what?", "tab\t", "com1"])
    def test_a_name_that_windows_cannot_take(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert file_names._problem_of(name) is None
        # Replaced: it is another system.
        monkeypatch.setattr(file_names, "os", type("Windows", (), {"name": "nt"}))
        assert "Windows" in str(file_names._problem_of(name))
        assert file_names._problem_of("icon/content.csv") is None

    def test_a_file_and_a_folder_of_one_name(self, client: ubiops.ApiClient, signer: Signer, folder: Path) -> None:
        error = self.refused(client, signer, folder, "a", "a/b", "a/b/c")
        assert list(error.failed) == ["a", "a/b"]
        assert "is a folder of 'a/b" in str(error.failed["a"])

    def test_names_that_differ_in_case_alone(
        self, client: ubiops.ApiClient, signer: Signer, storage: Storage, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage.files = {"Ä/x": b"1", "ä/X": b"2", "y": b"3"}
        assert download_files(client, "p", output_path="out") == ["out/y", "out/Ä/x", "out/ä/X"]
        assert below(folder / "out") == {"Ä/x": "1", "ä/X": "2", "y": "3"}
        signer.given = 0
        # Replaced: a disk that ignores case would have to be mounted.
        monkeypatch.setattr(file_names, "_ignores_case", lambda folder: True)
        error = self.refused(client, signer, folder, "Ä/x", "ä/X", "y")
        assert {name: str(one) for name, one in error.failed.items()} == {
            "ä/X": "it is the same as 'Ä/x' on this disk: download it alone, to a path of your choice"
        }

    def test_whether_a_disk_ignores_case_is_tried(self, folder: Path) -> None:
        assert file_names._ignores_case(str(folder)) is False
        assert os.listdir(folder) == []

    def test_what_is_on_disk_already(self, client: ubiops.ApiClient, signer: Signer, folder: Path) -> None:
        make(folder, "out/file", "out/folder/x")
        error = self.refused(client, signer, folder, "folder", "file/deep/x")
        assert {name: re.sub(r"'.*'", "...", str(one)) for name, one in error.failed.items()} == {
            "folder": "it is a folder on disk, ...: download it alone, to a path of your choice",
            "file/deep/x": "it is below ..., which is a file on disk: download it alone, to a path of your choice",
        }

    def test_a_link_that_leads_out(self, client: ubiops.ApiClient, signer: Signer, folder: Path) -> None:
        make(folder, "outside/x", "out/own")
        for name, target in {"link": "../outside", "dead": "../none", "root": "/", "beside": "../outer"}.items():
            (folder / "out" / name).symlink_to(target)
        (folder / "outer").mkdir()
        for name in ("link/x", "link/deep/y", "dead/x", "root/x", "beside/x"):
            assert "leads out of" in str(self.refused(client, signer, folder, name))

    def test_a_link_that_stays_inside(
        self, client: ubiops.ApiClient, signer: Signer, storage: Storage, folder: Path
    ) -> None:
        make(folder, "real/inner/x")
        (folder / "out").symlink_to("real")
        (folder / "real" / "link").symlink_to("inner")
        storage.files = {"link/x": b"new"}
        assert download_files(client, "p", output_path="out") == ["out/link/x"]
        assert below(folder / "real")["inner/x"] == "new"

    @pytest.mark.parametrize("target", ["outside", "nowhere"])
    def test_a_link_in_place_of_a_file_is_replaced(
        self, target: str, client: ubiops.ApiClient, signer: Signer, storage: Storage, folder: Path
    ) -> None:
        make(folder, "outside", "out/own")
        (folder / "out" / "x").symlink_to(folder / target)
        storage.files = {"x": b"new"}
        download_files(client, "p", output_path="out")
        assert not (folder / "out" / "x").is_symlink()
        assert (folder / "out" / "x").read_text() == "new"
        assert below(folder) == {"outside": "outside", "out/own": "out/own", "out/x": "new"}

    def test_what_marks_a_folder_is_passed_over(
        self, client: ubiops.ApiClient, signer: Signer, storage: Storage, folder: Path
    ) -> None:
        storage.files = {"a/": b"", "a/x": b"1", "../": b""}
        assert download_files(client, "p", output_path="out") == ["out/a/x"]

    def test_a_name_that_is_listed_twice_comes_once(
        self, client: ubiops.ApiClient, signer: Signer, storage: Storage, folder: Path
    ) -> None:
        storage.files = {"x": b"1"}
        signer.listed = [("x", 1), ("x", 1)]
        assert download_files(client, "p") == ["./x"]
        assert signer.given == 1

    @pytest.mark.parametrize("size", [None, "1", "many"])
    def test_a_size_that_is_not_known(
        self, size: Any, client: ubiops.ApiClient, signer: Signer, storage: Storage, folder: Path
    ) -> None:
        storage.files = {"x": b"1"}
        signer.listed = [("x", size)]
        assert download_files(client, "p") == ["./x"]

    def test_a_list_without_an_end(self, client: ubiops.ApiClient, server: Server, folder: Path) -> None:
        server.default = Answer.json({"files": [{"file": "x", "size": 1}], "prefixes": [], "continuation_token": "t"})
        with pytest.raises(ApiException, match="'default' doesn't end: token 't' leads to itself"):
            download_files(client, "p")
        assert [request.query for request in server.requests] == [{}, {"continuation_token": "t"}]
        assert os.listdir(folder) == []

    @pytest.mark.parametrize(
        ("options", "argument"),
        [({"parallel_downloads": n}, "parallel_downloads") for n in (0, True, "2", None)]
        + [({"output_path": path}, "output_path") for path in (7, None, "", "a\0b", "file")],
    )
    def test_other_arguments_are_checked(
        self, options: dict[str, Any], argument: str, client: ubiops.ApiClient, server: Server, folder: Path
    ) -> None:
        make(folder, "file")
        with pytest.raises((ApiTypeError, ApiValueError), match=f"`{argument}` when calling `download_files`, "):
            download_files(client, "p", **options)
        assert server.requests == []
