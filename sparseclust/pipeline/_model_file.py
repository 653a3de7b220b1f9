"""Models on disk: one file of torch, or weights in safetensors beside a card in JSON."""

import json
import os
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sparseclust._optional import require
from sparseclust.models import create_model

FORMAT = "sparseclust-model"
SAFE = ".safetensors"
STATE = "state"
JUDGE = "judge"  # and before the names of its weights, which are among those of the network
STEP = ":step"  # after the name of a tensor of 8 bits: what its whole numbers are multiples of


def list_pretrained() -> list[str]:
    """Names of the trained models that come with the library, for :meth:`Predictor.from_pretrained`.

    Examples
    --------
    >>> from sparseclust.pipeline import list_pretrained
    >>> "soup" in list_pretrained()
    False
    """
    return sorted(file.name.removesuffix(SAFE) for file in _shipped().iterdir() if file.name.endswith(SAFE))


def describe_pretrained(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Say what a model is: its network and inputs, how it makes labels, how it was trained.

    Parameters
    ----------
    path : path or str
        Model file, or a name from :func:`list_pretrained`.

    Returns
    -------
    dict
        Plain values: ``"model"``, the arguments of :func:`sparseclust.models.create_model`, or None for a
        network that was made in another way; ``"inputs"``,
        those of :class:`sparseclust.data.VoxelInputs`; ``"info"``, what was remembered; for a network that
        finds particles also ``"clusterer"``, ``"refine"``, ``"across_classes"`` and ``"classes"``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not such a file, or a damaged one.

    Examples
    --------
    >>> from sparseclust.pipeline import describe_pretrained
    >>> told = describe_pretrained("spice-small")
    >>> told["model"]["name"], told["inputs"]["spatial_size"], told["clusterer"]["kind"]
    ('edge_spice', 768, 'AgglomerativeClusterer')
    """
    return {key: value for key, value in read_model(path).items() if key not in ("format", STATE, JUDGE)}


def describe_model(model: torch.nn.Module, info: Mapping[str, Any]) -> dict[str, Any]:
    """Collect what a file says of every network: how to build it, its weights, what is to be remembered."""
    config = getattr(model, "config", None)
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    return {"model": None if config is None else dict(config), "info": dict(info), STATE: state}


def write_model(path: Path, content: Mapping[str, Any], *, bits: int) -> None:
    """Write what :func:`read_model` reads; each file appears complete or not at all."""
    if bits not in (32, 16, 8):
        raise ValueError(f"bits must be 32, 16 or 8, got {bits!r}")
    content = {"format": FORMAT, **content}
    judge = {f"{JUDGE}:{name}": tensor for name, tensor in content.pop(JUDGE, {}).items()}
    content[STATE] = _rounded(content[STATE], bits) | judge
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != SAFE:
        _replace(path, lambda temporary: torch.save(content, temporary))
        return
    state = {name: tensor.contiguous() for name, tensor in content.pop(STATE).items()}
    # Not save_file: it writes a file that only its owner can read.
    _replace(path, lambda temporary: temporary.write_bytes(_safetensors().save(state)))
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    _replace(path.with_suffix(".json"), lambda temporary: temporary.write_text(text))


def read_model(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a model file, or a shipped model by its name.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is no model, or a damaged one.
    """
    if str(path) in list_pretrained() and not Path(path).exists():
        with resources.as_file(_shipped()) as folder:
            return _read_safe(folder / f"{path}{SAFE}")
    file = Path(path)
    if not file.is_file():
        names = ", ".join(list_pretrained())
        shipped = f"; models that come with the library: {names}" if names else ""
        raise FileNotFoundError(f"{file}: no such file; `sparseclust train` writes one as model.pt{shipped}")
    return _read_safe(file) if file.suffix == SAFE else _read_torch(file)


def build_model(
    path: str | os.PathLike[str], content: Mapping[str, Any], model: torch.nn.Module | None = None
) -> torch.nn.Module:
    """Build the network of a file that :func:`read_model` read, or fill a given one; in evaluation mode.

    Raises
    ------
    ValueError
        If its parameters are not those of the network, or the file does not say how to build it.
    """
    if model is None and content.get("model", {}) is None:
        raise ValueError(
            f"{path}: has the weights of a network that was not made by sparseclust.models.create_model, and "
            "not how to build it; make it in Python, and give it: from_pretrained(path, model=network)"
        )
    named = "that it names, or that network is one of another release" if model is None else "given"
    try:
        model = create_model(**content["model"]) if model is None else model
        model.load_state_dict(content[STATE])
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path}: its parameters are not those of the network {named}: {error}") from error
    return model.eval()


def _read_torch(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises RuntimeError, UnpicklingError, EOFError, KeyError, ...
        raise _damaged(path, error) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"{path}: not a model of sparseclust; expected the file that Predictor.save writes (model.pt)"
        )
    return {**content, **_restored(content.get(STATE, {}))}


def _read_safe(path: Path) -> dict[str, Any]:
    card = path.with_suffix(".json")
    if not card.is_file():
        raise FileNotFoundError(f"{card}: no such file; it belongs to {path.name} and says what the model is")
    load_file = _safetensors().load_file
    try:
        content = json.loads(card.read_text())
        state: dict[str, Tensor] = load_file(path)
    except Exception as error:  # safetensors has an error of its own
        raise _damaged(path, error) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{card}: not the card of a model of sparseclust")
    # JSON has text keys only; thresholds go by the number of a class.
    if "clusterer" in content:
        content["clusterer"] = {
            name: {int(c): v for c, v in value.items()}
            if isinstance(value, dict) and name != JUDGE
            else value
            for name, value in content["clusterer"].items()
        }
    return {**content, **_restored(state)}


def _rounded(state: Mapping[str, Tensor], bits: int) -> dict[str, Tensor]:
    """Matrices in fewer bits; vectors, parameters of norms and their running variances, keep their range."""
    result = {}
    for name, tensor in state.items():
        if tensor.ndim < 2 or bits == 32 or not tensor.is_floating_point():
            result[name] = tensor
        elif bits == 16:
            result[name] = tensor.half()
        else:
            # One step per feature that comes out: the last axis of sparse convolutions, else the first.
            inner = (0, 1) if tensor.ndim == 3 else tuple(range(1, tensor.ndim))
            largest = tensor.float().abs().amax(dim=inner, keepdim=True)
            if not bool(largest.isfinite().all()):
                raise ValueError(f"{name} holds nan or inf, which 8 bits cannot: did the training diverge?")
            step = torch.where(largest > 0, largest / 127, 1.0)
            result[name], result[name + STEP] = (tensor / step).round().to(torch.int8), step
    return result


def _restored(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Weights of the network, :func:`_rounded` undone but for what it lost, and of the judge."""
    judge = {name.removeprefix(f"{JUDGE}:"): t for name, t in state.items() if name.startswith(f"{JUDGE}:")}
    network = {
        name: tensor.float() * state[name + STEP] if name + STEP in state else tensor
        for name, tensor in state.items()
        if not name.endswith(STEP) and not name.startswith(f"{JUDGE}:")
    }
    return {STATE: network, JUDGE: judge}


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path}: cannot be read as a model, damaged or of another kind ({type(error).__name__})"
    )


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _safetensors() -> Any:
    return require("safetensors.torch")  # not before it is needed: it takes a while to load


def _shipped() -> Any:
    return resources.files("sparseclust") / "weights"
