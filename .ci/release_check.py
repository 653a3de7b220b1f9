"""Build wheel and source archive, install the wheel where the sources are not, and use it there.

Run by `make release-check`, from a clean checkout. Needs git and the package `build`; arguments go to pip.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What the wheel's description, the README, shows as Python, must run without the extras.
README_EXAMPLES = """
import importlib.metadata, re
text = importlib.metadata.metadata("sparseclust").get_payload()
examples = re.findall(r"```python\\n(.*?)```", text, re.DOTALL)
assert examples
for example in examples:
    exec(example, {})
"""
PARTS = """
import sparseclust
from sparseclust.pipeline import Predictor, SemanticClassifier, describe_pretrained, list_pretrained
from sparseclust.testing import check_encoder
for name in sparseclust.__all__:
    if name not in ("training", "vis"):  # these two need extras
        getattr(sparseclust, name)
for name in list_pretrained():
    reader = Predictor if "clusterer" in describe_pretrained(name) else SemanticClassifier
    reader.from_pretrained(name)
print(sparseclust.__version__, sparseclust.__file__, list_pretrained())
"""


def main(*pip_arguments: str) -> None:
    with tempfile.TemporaryDirectory(prefix="sparseclust-release-") as folder:
        work = Path(folder)
        wheel, archive = build(work)
        check_contents(wheel, archive)
        python = environment(work / "env", wheel, pip_arguments)
        run([python, "-W", "error", "-c", PARTS], work)
        run([python, "-W", "error", "-c", README_EXAMPLES], work)
        install(python, f"{wheel}[train,vis]", pip_arguments)
        command = python.with_name("sparseclust")
        run([command, "demo", "--test_events", "5"], work)
        assert (work / "demo" / "report.html").stat().st_size > 100_000
        state_sizes(wheel, archive, python)


def build(work: Path) -> tuple[Path, Path]:
    """Build both, and the wheel once more from the archive: the same bytes."""
    run([sys.executable, "-m", "build", "--wheel", "--outdir", work / "from-tree", ROOT], work)
    run([sys.executable, "-m", "build", "--outdir", work / "dist", ROOT], work)  # the wheel from the archive
    [wheel], [archive] = (work / "from-tree").glob("*.whl"), (work / "dist").glob("*.tar.gz")
    again = work / "dist" / wheel.name
    if wheel.read_bytes() != again.read_bytes():
        sys.exit(f"the source archive builds another {wheel.name} than the checkout")
    return wheel, archive


def check_contents(wheel: Path, archive: Path) -> None:
    """See that everything that git knows of the package is in both, and nothing else."""
    listed = subprocess.run(
        ["git", "ls-files", "sparseclust"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    known = set(listed.stdout.splitlines())
    with zipfile.ZipFile(wheel) as packed:
        inside = {name for name in packed.namelist() if ".dist-info/" not in name}
    with tarfile.open(archive) as packed:
        names = (name.partition("/")[2] for name in packed.getnames())
        sources = {name for name in names if name.startswith("sparseclust/")}
    for kind, found in {"wheel": inside, "source archive": sources}.items():
        if found != known:
            sys.exit(f"{kind}: lacks {sorted(known - found)}, has beside them {sorted(found - known)}")
    data = sorted(name for name in known if not name.endswith(".py"))
    print(f"{len(known)} files, of which no Python: {', '.join(data)}")


def environment(folder: Path, wheel: Path, pip_arguments: tuple[str, ...]) -> Path:
    """Make an environment with the wheel and what it cannot do without."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install(python, str(wheel), pip_arguments)
    return python


def install(python: Path, what: str, pip_arguments: tuple[str, ...]) -> None:
    """Install the newest of everything: what a stranger gets."""
    run([python, "-m", "pip", "install", "-q", *pip_arguments, what], python.parent)


def run(command: list[str | Path], folder: Path) -> None:
    """Run a command where the sources cannot be imported by accident; its failure is ours."""
    shown = re.sub(r"\s+", " ", " ".join(map(str, command)))
    print(f"$ {shown[:150]}", flush=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if subprocess.run(command, cwd=folder, env=clean, check=False).returncode:
        sys.exit(f"failed: {shown}")


def state_sizes(wheel: Path, archive: Path, python: Path) -> None:
    """Print how large what was built is."""
    [package] = python.parents[1].glob("lib/python*/site-packages/sparseclust")
    installed = sum(
        f.stat().st_size for f in package.rglob("*") if f.is_file() and "__pycache__" not in f.parts
    )
    for name, size in {
        wheel.name: wheel.stat().st_size,
        archive.name: archive.stat().st_size,
        "installed": installed,
    }.items():
        print(f"{size / 1e6:7.2f} MB  {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
