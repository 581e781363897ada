"""What the code of a deployment package says of itself, without being run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence

from ubiops.utils.packages.folder import PackageFolder

__all__ = ["PackageCode"]

_METHODS = ("request", "requests")
_SEARCH = ((), ("libraries",))


class PackageCode:
    """The main file of a package and the modules of the package that it imports.

    Args:
        folder: The files of the package.
        main_file: Name of the main file, which is one of them.

    Attributes:
        problems (list[str]): Why it can't be loaded; none where nothing speaks against it.
        has_request_method (bool | None): Whether the class ``Deployment`` has ``request``; None where only running the
            code could tell, such as for a class that inherits from an installed one.
        has_requests_method (bool | None): Whether it has ``requests``; None likewise.
    """

    def __init__(self, folder: PackageFolder, main_file: str) -> None:
        self.problems: list[str] = []
        self.has_request_method: bool | None = None
        self.has_requests_method: bool | None = None
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
            self._find_methods(main)

    def _parse(self, file: str) -> ast.Module | None:
        try:
            with open(self._folder.path(file), "rb") as opened, warnings.catch_warnings():
                # What Python would warn of is no business of a check.
                warnings.simplefilter("ignore")
                tree = ast.parse(opened.read(), file)
                # Finds what parses but means nothing, such as a return outside of a function.
                compile(tree, file, "exec", dont_inherit=True)
        except SyntaxError as error:
            self.problems.append(f"{file}:{error.lineno or 1}: {error.msg}")
        except (ValueError, RecursionError, MemoryError) as error:
            self.problems.append(f"{file}: it can't be compiled: {error or 'it is nested too deeply'}")
        except OSError as error:
            self.problems.append(f"{file}: it can't be read: {error.strerror}")
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
        """The files of a module and the packages that it is in, as far as the package has them."""
        for length in range(1, len(names) + 1):
            paths = ["/".join([*above, *names[:length]]) for above in _SEARCH]
            files = [file for path in paths for file in (f"{path}/__init__.py", f"{path}.py") if file in self._files]
            yield from files[:1]

    def _find_methods(self, tree: ast.Module) -> None:
        classes: dict[str, list[ast.ClassDef]] = {}
        bound_otherwise = False
        for node in _own_nodes(tree):
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(node)
            elif isinstance(node, ast.alias):
                bound_otherwise |= (node.asname or node.name) in ("Deployment", "*")
            elif isinstance(node, ast.Name):
                bound_otherwise |= node.id == "Deployment" and isinstance(node.ctx, ast.Store)
        if bound_otherwise:
            return
        if "Deployment" not in classes:
            self.problems.append(f"{self._main_file} has no class Deployment")
            return
        found = _methods("Deployment", classes)
        self.has_request_method, self.has_requests_method = (
            True if name in found else None if None in found else False for name in _METHODS
        )
        if not found:
            line = classes["Deployment"][-1].lineno
            self.problems.append(
                f"{self._main_file}:{line}: the class Deployment has neither a method request nor a method requests"
            )


def _methods(name: str, classes: dict[str, list[ast.ClassDef]], below: Sequence[str] = ()) -> set[str | None]:
    """Those of the two methods that a class has; None is among them where it may have more than can be seen."""
    if len(classes.get(name, ())) != 1 or name in below:
        return {None}
    [node] = classes[name]
    found: set[str | None] = set()
    if node.decorator_list or node.keywords:
        found.add(None)
    for base in node.bases:
        if not (isinstance(base, ast.Name) and base.id == "object"):
            found |= _methods(base.id if isinstance(base, ast.Name) else "", classes, [*below, name])
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store) and part.attr in _METHODS:
            found.add(part.attr)
        elif isinstance(part, ast.Name) and part.id in ("setattr", "vars", "exec"):
            found.add(None)
    for part in _own_nodes(node):
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found |= {part.name} & set(_METHODS) or ({None} if part.name.startswith("__getattr") else set())
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store) and part.id in _METHODS:
            found.add(part.id)
        elif isinstance(part, ast.alias) and (part.asname or part.name) in _METHODS:
            found.add(part.asname or part.name)
    return found


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """What stands in a module or the body of a class, not what stands in the functions and classes there."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from _own_nodes(node)
