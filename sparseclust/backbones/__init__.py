"""Backbones: sparse image to pyramid (encoders), pyramid to features at full resolution (decoders)."""

from sparseclust.backbones._protocols import Decoder, Encoder
from sparseclust.backbones._uresnet import UResNet, UResNetDecoder, UResNetEncoder

__all__ = ["Decoder", "Encoder", "UResNet", "UResNetDecoder", "UResNetEncoder"]
