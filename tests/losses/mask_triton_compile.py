"""Compile the Triton kernels of the mask term for an A100 and an H100, without either.

Usage: python mask_triton_compile.py fp32
"""

import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sparseclust.losses import _kernels_triton as kernels
from sparseclust.losses import _triton

TYPES = dict.fromkeys(("label", "low", "high"), "*i32") | dict.fromkeys(("begin", "end"), "*i64")
TYPES |= {"n": "i32", "eps": "fp32"}


def main(number: str) -> None:
    for kernel in (kernels.push_voxels, kernels.sum_clusters):
        for target, focal in ((80, False), (90, True)):
            constants = {"FOCAL": focal, "TERMS": 9, "D": 3, "AXES": 4, "ROWS": _triton._ROWS}
            if kernel is kernels.sum_clusters:
                constants["PARTS"] = _triton._PARTS
            kinds = {name: TYPES.get(name, "*" + number) for name in kernel.arg_names}
            kinds |= dict.fromkeys(constants, "constexpr")
            fixed = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
            triton.compile(ASTSource(kernel, kinds, fixed), target=GPUTarget("cuda", target, 32))


if __name__ == "__main__":
    main(*sys.argv[1:])
