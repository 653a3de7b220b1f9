"""Start from trained weights."""

import os
from dataclasses import asdict

import torch

from sparseclust.data import VoxelInputs
from sparseclust.pipeline import Predictor, SemanticClassifier
from sparseclust.training._widen import can_widen, widened


def start_from(
    path: str | os.PathLike[str],
    model: torch.nn.Module,
    *,
    inputs: VoxelInputs | None = None,
    reader: type[Predictor] | type[SemanticClassifier] = Predictor,
) -> list[str]:
    """Copy the weights of a trained model into a network, to train it further.

    Parameters
    ----------
    path : path or str
        Model file, or a name from :func:`sparseclust.pipeline.list_pretrained`.
    model : torch.nn.Module
        The network. It may have more than the file, such as another head, and more features per layer: then
        it gives the same answers at first, and the new features start at random.
    inputs : VoxelInputs, optional
        What the network is going to see; checked against what the trained one saw.
    reader : {Predictor, SemanticClassifier}
        What the file holds.

    Returns
    -------
    list of str
        Parameters and buffers of the network that the file does not have. They stay as they are.

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    ValueError
        If the file is no model, or its network does not fit into this one: other inputs, other shapes, or
        parts that this one does not have. Only networks of the registry
        (:func:`sparseclust.models.create_model`) can be widened, and none with layer norms.

    Examples
    --------
    >>> from sparseclust.data import VoxelInputs
    >>> from sparseclust.pipeline import Predictor, SemanticClassifier
    >>> from sparseclust.training import start_from
    >>> trained = Predictor.from_pretrained("spice-small")
    >>> start_from("spice-small", trained.model, inputs=trained.inputs)
    []
    """
    trained = reader.from_pretrained(path)
    if inputs is not None and inputs != trained.inputs:
        raise ValueError(
            f"{path} was trained on other inputs: {_differences(asdict(trained.inputs), asdict(inputs))}"
        )
    given, wanted = trained.model.state_dict(), model.state_dict()
    config, own = (getattr(network, "config", None) or {} for network in (trained.model, model))
    if can_widen(config, own):
        given = widened(given, wanted, config["base_channels"], own["base_channels"])
    wrong = [name for name in given if name not in wanted or given[name].shape != wanted[name].shape]
    if wrong:
        name = wrong[0]
        has = f"has {tuple(wanted[name].shape)}" if name in wanted else "has no such part"
        raise ValueError(
            f"{path} does not fit the network, in {len(wrong)} of {len(given)} tensors: {name} is "
            f"{tuple(given[name].shape)} in the file, the network {has}; {_differences(config, own)}"
        )
    model.load_state_dict(given, strict=False)
    return [name for name in wanted if name not in given]


def _differences(file: dict[str, object], own: dict[str, object]) -> str:
    names = [name for name in file if file[name] != own.get(name)]
    told = ", ".join(f"{name} {file[name]!r} in the file, {own.get(name)!r} here" for name in names)
    return told or "their settings are the same"
