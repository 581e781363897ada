"""The code of a deployment package, read without being run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence

from ubiops.utils.packages.folder import PackageFolder

__all__ = ["PackageCode"]

_MAY_MEAN_METHODS = frozenset({"request", "requests", "__getattr__", "setattr", "vars", "exec"})
_SEARCH = ((), ("libraries",))


class PackageCode:
    """The main file of a package and the modules of the package that it imports.

    Args:
        folder: The files of the package.
        main_file: Name of the main file, which is one of them.

    Attributes:
        problems (list[str]): Why it can't be loaded; empty if it can.
    """

    def __init__(self, folder: PackageFolder, main_file: str) -> None:
        self.problems: list[str] = []
        self._folder = folder
        self._files = set(folder.files)
        self._main_file = main_file
        parsed: dict[str, ast.Module | None] = {}
        waiting = [main_file]
        while waiting:
            file = waiting.pop()
            if file not in parsed:
                tree = parsed[file] = self._parse(file)
                waiting += [] if tree is None else self._imported(tree, file)
        main = parsed[main_file]
        if main is not None:
            self._check_class(main)

    def _parse(self, file: str) -> ast.Module | None:
        try:
            with open(self._folder.path(file), "rb") as opened, warnings.catch_warnings():
                # Warnings of Python don't concern the check.
                warnings.simplefilter("ignore")
                tree = ast.parse(opened.read(), file)
                # Finds code that parses but isn't valid, such as a return outside of a function.
                compile(tree, file, "exec", dont_inherit=True)
        except SyntaxError as error:
            self.problems.append(f"{file}:{error.lineno or 1}: {error.msg}")
        except (ValueError, RecursionError, MemoryError) as error:
            self.problems.append(f"{file}: can't be compiled: {error or 'it is nested too deeply'}")
        except OSError as error:
            self.problems.append(f"{file}: can't be read: {error.strerror}")
        else:
            return tree
        return None

    def _imported(self, tree: ast.Module, file: str) -> Iterator[str]:
        """The files of the package that a module imports whenever it is imported itself."""
        for statement in tree.body:
            if isinstance(statement, ast.Import):
                for alias in statement.names:
                    yield from self._files_of(alias.name.split("."))
            elif isinstance(statement, ast.ImportFrom):
                above: list[str] = []
                if statement.level and file == self._main_file:
                    self.problems.append(
                        f"{file}:{statement.lineno}: a relative import; only absolute ones work in the main file"
                    )
                    continue
                if statement.level:
                    above = file.split("/")[: -statement.level]
                names = [*above, *(statement.module.split(".") if statement.module else [])]
                for alias in statement.names:
                    yield from self._files_of([*names, alias.name])

    def _files_of(self, names: Sequence[str]) -> Iterator[str]:
        """The files of a module and of its parent packages that are part of the package."""
        for length in range(1, len(names) + 1):
            paths = ["/".join([*above, *names[:length]]) for above in _SEARCH]
            files = [file for path in paths for file in (f"{path}/__init__.py", f"{path}.py") if file in self._files]
            yield from files[:1]

    def _check_class(self, tree: ast.Module) -> None:
        """Check what can be seen without running the code: the class exists, and may have a method."""
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Deployment"]
        names = {name for node in ast.walk(tree) if not isinstance(node, ast.FunctionDef) for name in _texts(node)}
        if not classes and not names & {"Deployment", "*"}:
            self.problems.append(f"{self._main_file} has no class Deployment")
        for node in classes:
            inherits = node.bases or node.keywords or node.decorator_list
            words = {text for part in ast.walk(node) for text in _texts(part)}
            if len(classes) == 1 and not inherits and not words & _MAY_MEAN_METHODS:
                self.problems.append(
                    f"{self._main_file}:{node.lineno}: the class Deployment has neither a method request nor a method "
                    "requests"
                )


def _texts(node: ast.AST) -> Iterator[str]:
    """The names and texts in a node itself."""
    return (value for _, value in ast.iter_fields(node) if isinstance(value, str))
