"""What is installed, and that the package and configurations are found from any folder."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import jaxgan

ROOT = Path(__file__).parents[1]
BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text())

CONFIG = """
from jaxgan.config import default, update


def get_config():
    return update(default(), {"data.name": "digits", "train.steps": 1, "evaluate.metrics": ()})
"""


def python(*arguments, folder, checkout=ROOT):
    """What Python prints that runs in `folder`, with `checkout` where an editable install puts it: on sys.path."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(checkout), *sys.path[1:]]), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_only_jaxgan_is_installed():
    assert BUILD["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["jaxgan"]
    assert (ROOT / "jaxgan" / "py.typed").exists()
    # hatchling's editable install is a path; setuptools' is an importer, which a folder of the same name comes before.
    assert BUILD["build-system"]["build-backend"] == "hatchling.build"


def test_the_version_has_one_place():
    assert (
        BUILD["tool"]["hatch"]["version"]["path"] == "jaxgan/__init__.py" and "version" in BUILD["project"]["dynamic"]
    )


def test_the_folder_above_a_checkout_finds_the_package(tmp_path):
    checkout = tmp_path / "jaxgan"
    checkout.mkdir()
    (checkout / "jaxgan").symlink_to(ROOT / "jaxgan")
    found = python("-c", "import jaxgan; print(jaxgan.__version__)", folder=tmp_path, checkout=checkout)
    assert found.strip() == jaxgan.__version__


@pytest.mark.slow
def test_a_config_of_ones_own_from_another_folder(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "my.py").write_text(CONFIG)
    (tmp_path / "elsewhere").mkdir()
    python("-m", "jaxgan.main", f"--config={tmp_path / 'configs' / 'my.py'}", folder=tmp_path / "elsewhere")
    assert jaxgan.load(tmp_path / "elsewhere" / "runs" / "my").step == 1


def test_help_imports_no_jax(tmp_path):
    code = (
        "import sys; sys.argv = ['jaxgan', '--help']\n"
        "from jaxgan import main\n"
        "try: main.main()\n"
        "except SystemExit: print(sorted({'jax', 'numpy', 'flax', 'matplotlib'} & set(sys.modules)))"
    )
    assert python("-c", code, folder=tmp_path).splitlines()[-1] == "[]"


def test_training_imports_no_package_that_it_does_not_need(tmp_path):
    unneeded = {"sklearn", "pyarrow", "tensorflow_datasets", "tensorflow", "safetensors", "torch"}
    code = f"import sys; from jaxgan import train; print(sorted({unneeded} & set(sys.modules)))"
    assert python("-c", code, folder=tmp_path).splitlines()[-1] == "[]"
