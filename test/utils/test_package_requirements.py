"""The lines of requirements.txt: what pip would understand."""

from __future__ import annotations

from pathlib import Path

import pytest

import ubiops
from test.utils.packages import write
from ubiops import utils


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(utils.InvalidPackage) as caught:
        utils.validate_requirements_file(write(folder, {"requirements.txt": text}) / "requirements.txt")
    return caught.value.problems


def test_what_pip_understands(tmp_path: Path) -> None:
    text = """\
        # a comment

        numpy
        pandas[excel]>=2,<3 ; python_version > "3.8"  # why
        --index-url https://pypi.org/simple --extra-index-url=https://example.com
        -i https://pypi.org/simple
        scikit-learn==1.3.2 \\
            --hash=sha256:aa \\
            --hash=sha256:bb
        requests @ https://example.com/requests-2.whl
        torch @ https://${USER_NAME}:${TOKEN}@example.com/torch.whl#sha256=aa
        https://example.com/a.whl
        git+https://github.com/owner/name.git@v1#egg=name
        file:///tmp/a.whl
        -e git+https://github.com/owner/name.git
        -e ./lib[extra]
        --editable=lib
        ./lib ; python_version > "3"
        wheels/b.whl
        -r more/dev.txt
        -c constraints.txt
        -c https://example.com/constraints.txt
        --no-binary :all:
        --pre
    """
    files = {"lib/setup.py": "", "wheels/b.whl": "", "constraints.txt": "numpy<2\n"}
    more = {"more/dev.txt": "pytest\n-r ../requirements.txt\n-r other.txt", "more/other.txt": "tox"}
    path = write(tmp_path, {"requirements.txt": text, **files, **more}) / "requirements.txt"
    assert utils.validate_requirements_file(path) == [
        "numpy",
        'pandas[excel]>=2,<3 ; python_version > "3.8"',
        "scikit-learn==1.3.2",
        "requests @ https://example.com/requests-2.whl",
        "torch @ https://${USER_NAME}:${TOKEN}@example.com/torch.whl#sha256=aa",
        "https://example.com/a.whl",
        "git+https://github.com/owner/name.git@v1#egg=name",
        "file:///tmp/a.whl",
        './lib ; python_version > "3"',
        "wheels/b.whl",
        "pytest",
        "tox",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("==1", "'==1' isn't a valid requirement: Expected package name at the start"),
        ("numpy=1", "'numpy=1' isn't a valid requirement: "),
        ("numpy 1.2", "'numpy 1.2' isn't a valid requirement: "),
        ("import numpy as np", "isn't a valid requirement"),
        ("numpy>=1.x", "isn't a valid requirement"),
        ("pip install numpy", "isn't a valid requirement"),
        ("numpy; python_version >> '3'", "isn't a valid requirement"),
        ("--quiet", "pip has no option --quiet for such a file"),
        ("-x", "pip has no option -x for such a file"),
        ("-r none.txt", "the file 'none.txt' doesn't exist"),
        ("-c none.txt", "the file 'none.txt' doesn't exist"),
        ("-r", "the file '' doesn't exist"),
        ("-e ./none", "the file or folder './none' doesn't exist"),
        ("./none.whl", "the file or folder './none.whl' doesn't exist"),
        ("none-1.0.tar.gz/x", "the file or folder"),
    ],
)
def test_lines_that_pip_would_not_understand(tmp_path: Path, line: str, problem: str) -> None:
    [found] = problems(tmp_path, f"# one\nnumpy\n{line}\n")
    assert found.startswith("requirements.txt:3: ")
    assert problem in found


def test_all_lines_are_named_by_the_file_that_has_them(tmp_path: Path) -> None:
    write(tmp_path, {"more/dev.txt": "a\n\n=="})
    found = problems(tmp_path, "b \\\n  ==1\n==\n-r more/dev.txt\n!\n")
    assert [problem.split(": ")[0] for problem in found] == [
        "requirements.txt:3",
        "more/dev.txt:3",
        "requirements.txt:5",
    ]


def test_encodings(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    # As PowerShell and Windows' editors write it.
    for encoding in ("utf-16", "utf-8-sig"):
        path.write_bytes("numpy\r\n# é\r\n".encode(encoding))
        assert utils.validate_requirements_file(str(path)) == ["numpy"]
    path.write_bytes(b"numpy # \xff\n")
    with pytest.raises(utils.InvalidPackage, match=r"requirements\.txt: can't be read: 'utf-8' codec"):
        utils.validate_requirements_file(path)
    path.write_text("")
    assert utils.validate_requirements_file(path, client=None) == []


def test_files_that_are_none(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(
            ubiops.exceptions.ApiFileError, match="`file_path` when calling `validate_requirements_file`"
        ):
            utils.validate_requirements_file(path)
    with pytest.raises(ubiops.ApiTypeError, match="`file_path`"):
        utils.validate_requirements_file(1)  # type: ignore[arg-type]
