"""The house rules of docs and pyproject, read from the source: who imports whom, what is packaged, how long things are."""

import ast
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("arch", "traces", "workloads", "sim", "reports")
TOP = ("rowline", *FOLDERS)
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 80

# package -> prefixes of ours that it may import; the longest matching package counts
OURS: dict[str, tuple[str, ...]] = {
    "arch": ("arch",),
    "traces": ("traces",),
    "workloads": ("workloads", "traces"),
    "sim": ("sim", "arch", "traces"),
    "sim.kernels": ("sim.kernels",),
    "sim.judge": ("sim.judge", "sim.reference", "arch", "traces"),
    "sim.reference": ("sim.reference", "arch", "traces"),
    "sim.processes": ("sim.processes", "arch.units"),
    "reports": ("reports", "arch", "traces", "sim.results"),
    "rowline": ("rowline", *FOLDERS),
}
# third party -> prefixes of modules that may import it
OWNERS: dict[str, tuple[str, ...]] = {
    # beyond arch: the shape of a model and the keys of a run are configuration too, checked with the same care
    "pydantic": ("arch", "workloads.models", "rowline"),
    "ruamel": ("arch", "rowline.rundir"),
    "pyarrow": ("traces",),
    "numpy": ("traces", "sim.kernels", "sim.reference", "sim", "reports", "rowline.api"),
    "numba": ("sim.kernels", "sim.judge"),
    "simpy": ("sim.processes",),
    "pandas": ("sim.results", "sim.gpu.results", "traces.analyze", "reports", "rowline.api"),
    "matplotlib": ("reports.drawing",),
    "torch": ("workloads",),
    "transformers": ("workloads",),
    "typer": ("rowline",),
    "rich": ("rowline",),
    "optuna": ("rowline",),
    "psycopg": ("rowline.sweeps.store_postgres",),
    "distributed": ("rowline.sweeps.dask_pool",),
    "plotly": ("reports",),
    "jinja2": ("reports",),
}
# import torch at their top: only loaded by functions
LAZY = ("workloads.models._gpt_module", "workloads._recorder", "workloads.measure._operands", "workloads.measure._reference")


@dataclass(frozen=True)
class Import:
    """One import statement's target, ours without the leading ``rowline.``"""

    module: str
    target: str
    relative: bool
    ours: bool
    lazy: bool  # inside a function
    typing: bool  # under TYPE_CHECKING
    line: int


def module_name(path: Path) -> str:
    """``sim/kernels/jit.py`` -> ``sim.kernels.jit``; a package by its folder."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(f): f for top in TOP for f in sorted((ROOT / top).rglob("*.py"))}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text(encoding="utf-8"))


def inside(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def targets(module: str, node: ast.Import | ast.ImportFrom) -> list[str]:
    """Dotted names that a statement imports; relative ones resolved, submodules told from attributes."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = (node.module or "").split(".") if node.module else []
    if node.level:
        package = ["rowline", *module.split(".")]
        package = package if SOURCES[module].name == "__init__.py" else package[:-1]
        base = package[: len(package) - node.level + 1] + base
    if base[:2] == ["rowline", "rowline"]:  # the face is not one level further down
        base = base[1:]
    full = ".".join(base)
    return [f"{full}.{a.name}" if _ours(f"{full}.{a.name}") in SOURCES else full for a in node.names]


def _ours(dotted: str) -> str:
    """Our name of ``rowline.sim.x``; names of the face keep their ``rowline``."""
    head, _, rest = dotted.partition(".")
    return rest if head == "rowline" and rest.split(".")[0] in FOLDERS else dotted


@cache
def imports(module: str) -> tuple[Import, ...]:
    found: list[Import] = []

    def walk(node: ast.AST, lazy: bool, typing: bool) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            relative = isinstance(node, ast.ImportFrom) and node.level > 0
            for target in targets(module, node):
                ours = target.split(".")[0] == "rowline"
                name = _ours(target) if ours else target
                found.append(Import(module, name, relative, ours, lazy, typing, node.lineno))
        lazy = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        typing = typing or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for child in ast.iter_child_nodes(node):
            walk(child, lazy, typing)

    walk(tree(module), False, False)
    return tuple(found)


def every_import() -> Iterator[Import]:
    for module in SOURCES:
        yield from imports(module)


def where(found: Import) -> str:
    return f"{SOURCES[found.module].relative_to(ROOT)}:{found.line} imports {found.target}"


def test_there_is_something_to_read() -> None:
    assert {"arch.units", "sim.kernels.inorder", "rowline.cli", "workloads._recorder"} <= SOURCES.keys()
    known = {(i.module, i.target) for i in every_import()}
    assert ("sim.kernels.channels", "sim.kernels.layout") in known  # from . import layout as at
    assert ("sim.mapping.lower", "traces.commands") in known  # from ...traces.commands import
    assert ("rowline.experiment", "workloads.models.registry") in known  # from rowline.workloads... import
    assert ("rowline.rundir", "rowline.experiment") in known


def test_packages_import_ours_downward_only() -> None:
    wrong: list[str] = []
    for found in every_import():
        package = max((p for p in OURS if inside(found.module, (p,))), key=len)
        if found.ours and not inside(found.target, OURS[package]):
            wrong.append(where(found))
    assert wrong == []


def test_the_model_and_its_reference_share_no_code() -> None:
    """Nothing but the judge needs ``sim.reference`` to run, and the table above keeps both from ``sim.kernels``."""
    wrong = [i for i in every_import() if inside(i.target, ("sim.reference",)) and not inside(i.module, OURS["arch"])]
    assert [where(i) for i in wrong if not inside(i.module, ("sim.reference", "sim.judge"))] == []


def test_third_party_is_imported_by_its_owner_only() -> None:
    wrong: list[str] = []
    for found in every_import():
        head = found.target.split(".")[0]
        if found.ours or head in sys.stdlib_module_names:
            continue
        if not inside(found.module, OWNERS.get(head, ())):
            wrong.append(where(found))
        # numpy is of the rest of sim too, but not of the processes
        if head == "numpy" and inside(found.module, ("sim.processes",)):
            wrong.append(where(found))
    assert wrong == []


def test_torch_is_imported_inside_functions_only() -> None:
    loads_torch = [i for i in every_import() if i.target.split(".")[0] == "torch" or inside(i.target, LAZY)]
    wrong = [i for i in loads_torch if not i.lazy and not i.typing and i.module not in LAZY]
    assert [where(i) for i in wrong] == []
    assert {i.target for i in loads_torch} >= set(LAZY)


def test_imports_of_ours_are_relative_inside_the_folders() -> None:
    wrong = [i for i in every_import() if i.ours and i.relative == inside(i.module, ("rowline",))]
    bare = [i for i in every_import() if not i.ours and i.target.split(".")[0] in FOLDERS]
    assert [where(i) for i in wrong + bare] == []


def test_no_module_imports_itself_through_others() -> None:
    """A depth-first walk over the imports that run when a module loads."""
    edges = {m: {i.target for i in imports(m) if i.ours and not i.lazy and not i.typing} - {m} for m in SOURCES}
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module in done:
            return
        for target in sorted(edges.get(module, ())):
            walk(target, (*path, module))
        done.add(module)

    for module in sorted(edges):
        walk(module, ())


def test_package_list_is_complete() -> None:
    """A sub-package that is missing from the list would silently be left out of the wheel."""
    cfg = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    dirs = {(p.removeprefix("rowline.") if inside(_ours(p), FOLDERS) else p).replace(".", "/") for p in cfg["packages"]}
    assert all(cfg["package-dir"][f"rowline.{folder}"] == folder for folder in FOLDERS)
    found = {str(f.parent.relative_to(ROOT)) for top in TOP for f in (ROOT / top).rglob("__init__.py")}
    assert found == dirs
    with_code = {str(f.parent.relative_to(ROOT)) for f in SOURCES.values()}
    assert with_code <= dirs  # no folder of code without __init__.py


def test_package_data_is_complete() -> None:
    cfg = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    listed = {f for pattern in cfg["rowline.arch"] for f in (ROOT / "arch").glob(pattern)}
    assert set((ROOT / "arch").rglob("*.yaml")) == listed
    assert (ROOT / "rowline" / "py.typed").is_file() and cfg["*"] == ["py.typed"]


def test_every_dependency_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {text.split(">")[0].split("[")[0] for text in project["dependencies"]}
    extras = project.get("optional-dependencies", {})
    declared |= {text.split(">")[0].split("[")[0] for texts in extras.values() for text in texts}
    heads = {i.target.split(".")[0] for i in every_import() if not i.ours} - set(sys.stdlib_module_names)
    assert heads - {"ruamel"} <= declared and "ruamel.yaml" in declared


def test_links_for_the_type_checker_are_complete() -> None:
    links = ROOT / ".types" / "rowline"
    expected = {f: f"../../{f}" for f in FOLDERS}
    expected |= {f.name: f"../../rowline/{f.name}" for f in (ROOT / "rowline").glob("*.py")}
    expected |= {f.parent.name: f"../../rowline/{f.parent.name}" for f in (ROOT / "rowline").glob("*/__init__.py")}
    assert {f.name: os.readlink(f) for f in links.iterdir()} == expected


def _danger(node: ast.AST) -> str:
    """What is forbidden about a node, or an empty string."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        bad = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "yaml"}
        return ", ".join(n for n in names if n.split(".")[0] in bad)
    if not isinstance(node, ast.Call):
        return ""
    called = ast.unparse(node.func)
    if called in {"eval", "exec", "compile", "__import__", "yaml.load", "os.system", "os.popen", "torch.load"}:
        return called
    for keyword in node.keywords:
        if keyword.arg in ("shell", "allow_pickle") and ast.unparse(keyword.value) != "False":
            return f"{keyword.arg}={ast.unparse(keyword.value)}"
    return ""


def test_nothing_that_runs_what_it_reads() -> None:
    found = [
        f"{SOURCES[module].relative_to(ROOT)}:{getattr(node, 'lineno', 0)} {_danger(node)}"
        for module in SOURCES
        for node in ast.walk(tree(module))
        if _danger(node)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text", ["import pickle", "from pickle import loads", "eval('1')", "exec(x)", "yaml.load(f)", "run(x, shell=True)",
             "np.load(f, allow_pickle=True)", "import yaml", "os.system('x')"],
)  # fmt: skip
def test_the_check_above_sees(text: str) -> None:
    assert any(_danger(node) for node in ast.walk(ast.parse(text)))


def test_files_and_functions_are_short() -> None:
    long: list[str] = []
    for module, path in SOURCES.items():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_FILE_LINES:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(tree(module)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    long.append(f"{path.relative_to(ROOT)}: {node.name} has {length} lines")
    assert long == []


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom rowline.cli import app\n"
        "app(['run', '--help'], standalone_mode=False)\n"
        "print('LOADED', [m for m in sys.argv[1:] if m in sys.modules])"
    )
    heavy = ["torch", "numba", "pandas", "pyarrow", "optuna", "plotly", "numpy", "simpy"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, timeout=60, check=True)
    assert "LOADED []" in done.stdout

    def seconds() -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "rowline", "--help"], capture_output=True, timeout=60, check=True)
        return time.perf_counter() - begin

    assert min(seconds() for _ in range(3)) < 0.5


def test_import_rowline_loads_nothing_heavy() -> None:
    code = "import sys, rowline; print([m for m in ('torch', 'numba', 'pandas', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
