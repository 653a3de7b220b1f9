"""Numbers in the lanes of a vector register, and functions of them, for code that is generated."""

import math
from typing import Any

from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba.core import cgutils

VECTOR_BYTES = 64 if binding.get_host_cpu_features().get("avx512f") else 32
INDEX = ir.IntType(64)
DOUBLE = ir.DoubleType()

# Taylor series of 2^r, |r| <= 1/2, and of log((1 + s) / (1 - s)), |s| < 0.18, to the last bit but one.
_EXPONENTIAL_TERMS = {4: 6, 8: 12}
_LOGARITHM_TERMS = {4: 5, 8: 11}


class Lanes:
    """A vector of floating-point numbers; ``+ - * /`` with others and with constants write instructions."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value
        self.kind = value.type
        self.bytes = 8 if self.kind.element == DOUBLE else 4

    def of(self, value: Any) -> "Lanes":
        """Wrap instructions of the same builder."""
        return Lanes(self.builder, value)

    def _of(self, other: "Lanes | float") -> Any:
        return other.value if isinstance(other, Lanes) else constant(self.kind, other)

    def __add__(self, other: "Lanes | float") -> "Lanes":
        return self.of(self.builder.fadd(self.value, self._of(other)))

    def __sub__(self, other: "Lanes | float") -> "Lanes":
        return self.of(self.builder.fsub(self.value, self._of(other)))

    def __rsub__(self, other: float) -> "Lanes":
        return self.of(self.builder.fsub(self._of(other), self.value))

    def __mul__(self, other: "Lanes | float") -> "Lanes":
        return self.of(self.builder.fmul(self.value, self._of(other)))

    def __truediv__(self, other: "Lanes") -> "Lanes":
        return self.of(self.builder.fdiv(self.value, other.value))

    def times_plus(self, factor: "Lanes", summand: "Lanes | float") -> "Lanes":
        """Multiply and add, with one rounding where the machine can."""
        function = _function(self.builder, "fmuladd", self.kind, [self.kind] * 3)
        return self.of(self.builder.call(function, [self.value, factor.value, self._of(summand)]))

    def exceeds(self, other: float) -> Any:
        """Lanes above a number; not those of nan."""
        return self.builder.fcmp_ordered(">", self.value, self._of(other))

    def replaced(self, condition: Any, other: "Lanes | float") -> "Lanes":
        """Other lanes where a condition holds."""
        return self.of(self.builder.select(condition, self._of(other), self.value))

    def __neg__(self) -> "Lanes":
        return self.of(self.builder.fneg(self.value))

    def widened(self) -> "Lanes":
        """Convert to float64."""
        wide = ir.VectorType(DOUBLE, self.kind.count)
        return self if self.bytes == 8 else self.of(self.builder.fpext(self.value, wide))

    def sum(self) -> Any:
        """Sum the lanes."""
        function = _function(
            self.builder, "vector.reduce.fadd", self.kind.element, [self.kind.element, self.kind]
        )
        start = ir.Constant(self.kind.element, -0.0)
        return self.builder.call(function, [start, self.value], fastmath=("reassoc",))


class Rows:
    """Rows of a C-contiguous array."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        array = context.make_array(kind)(context, builder, value)
        self.builder, self.data = builder, array.data
        self.columns = cgutils.unpack_tuple(builder, array.shape)[-1]
        self.bytes = kind.dtype.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.bytes
        self.vector = ir.VectorType(context.get_data_type(kind.dtype), self.lanes)
        self.wide = ir.VectorType(DOUBLE, self.lanes)

    def _address(self, row: Any, column: Any) -> Any:
        builder = self.builder
        return builder.gep(self.data, [builder.add(builder.mul(row, self.columns), column)])

    def _vector_at(self, row: int, column: Any) -> Any:
        return self.builder.bitcast(self._address(INDEX(row), column), self.vector.as_pointer())

    def load(self, row: int, column: Any) -> Lanes:
        """Read a vector."""
        return Lanes(self.builder, self.builder.load(self._vector_at(row, column), align=self.bytes))

    def store(self, lanes: Lanes, row: int, column: Any) -> None:
        """Write a vector."""
        self.builder.store(lanes.value, self._vector_at(row, column), align=self.bytes)

    def spread(self, row: Any, column: int) -> Lanes:
        """Read one number into all lanes."""
        number = self.builder.load(self._address(row, INDEX(column)))
        return Lanes(self.builder, spread(self.builder, number, self.lanes))

    def write(self, number: Any, row: int, column: int) -> None:
        """Write one number."""
        self.builder.store(number, self._address(INDEX(row), INDEX(column)))


class Register:
    """A vector that changes within a loop."""

    def __init__(self, builder: Any, kind: Any, number: float) -> None:
        self.builder, self.place = builder, cgutils.alloca_once(builder, kind)
        builder.store(constant(kind, number), self.place)

    def get(self) -> Lanes:
        """Read it."""
        return Lanes(self.builder, self.builder.load(self.place))

    def set(self, lanes: Lanes) -> None:
        """Change it."""
        self.builder.store(lanes.value, self.place)


def constant(kind: Any, number: float) -> Any:
    """Write a number into all lanes of a kind of vector."""
    return ir.Constant(kind, [number] * kind.count)


def spread(builder: Any, number: Any, lanes: int) -> Any:
    """Copy a number into all lanes."""
    nothing = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    first = builder.insert_element(nothing, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, nothing, constant(ir.VectorType(ir.IntType(32), lanes), 0))


def number_lanes(lanes: int) -> Any:
    """Write 0, 1, 2 and so on into the lanes."""
    return ir.Constant(ir.VectorType(INDEX, lanes), list(range(lanes)))


def exponential(x: Lanes) -> tuple[Lanes, Lanes]:
    """2^-x = power (1 + fraction), |fraction| < 0.42, for 0 <= x < 64."""
    mantissa, bias, bits = _layout(x)
    rounding = 1.5 * 2.0**mantissa  # what is added to it ends in the bits of the nearest integer
    shifted = rounding - x
    r = (rounding - shifted) - x
    powers = x.builder.add(x.builder.bitcast(shifted.value, bits), constant(bits, bias))
    power = x.builder.shl(powers, constant(bits, mantissa))
    terms = [math.log(2.0) ** n / math.factorial(n) for n in range(1, _EXPONENTIAL_TERMS[x.bytes] + 1)]
    return x.of(x.builder.bitcast(power, x.kind)), _polynomial(r, terms) * r


def logarithm(q: Lanes) -> Lanes:
    """Natural logarithm of positive normal numbers; anything elsewhere."""
    mantissa, bias, bits = _layout(q)
    builder = q.builder
    half = (bias << mantissa) - (1 << mantissa - 1)  # rounds q to 2^n (1 + f), -1/4 <= f <= 1/2
    shift = constant(bits, mantissa)
    n = builder.ashr(builder.sub(builder.bitcast(q.value, bits), constant(bits, half)), shift)
    rest = builder.sub(builder.bitcast(q.value, bits), builder.shl(n, shift))
    f = q.of(builder.bitcast(rest, q.kind)) - 1.0
    s = f / (f + 2.0)
    series = _polynomial(s * s, [2.0 / (2 * n + 1) for n in range(_LOGARITHM_TERMS[q.bytes] + 1)])
    return s.times_plus(series, q.of(builder.sitofp(n, q.kind)) * math.log(2.0))


def log_of_product(factors: Lanes) -> Any:
    """Logarithm of the product of all lanes, positive normal float64 numbers or nan."""
    builder = factors.builder
    mantissa, bias, bits = _layout(factors)
    whole = builder.bitcast(factors.value, bits)
    low = builder.and_(whole, constant(bits, (1 << mantissa) - 1))
    fraction = factors.of(builder.bitcast(builder.or_(low, constant(bits, bias << mantissa)), factors.kind))
    fraction = fraction.replaced(builder.fcmp_unordered("uno", factors.value, factors.value), factors)
    one = factors.kind.element
    multiply = _function(builder, "vector.reduce.fmul", one, [one, factors.kind])
    product = builder.call(multiply, [ir.Constant(one, 1.0), fraction.value], fastmath=("reassoc",))
    add = _function(builder, "vector.reduce.add", bits.element, [bits])
    exponents = builder.call(add, [builder.lshr(whole, constant(bits, mantissa))])
    exponent = builder.sitofp(builder.sub(exponents, INDEX(bias * bits.count)), one)
    log = builder.call(_function(builder, "log", one, [one]), [product])
    return builder.fadd(log, builder.fmul(exponent, ir.Constant(one, math.log(2.0))))


def _layout(x: Lanes) -> tuple[int, int, Any]:
    """Bits of the mantissa, bias of the exponent, and the integers that share the lanes."""
    bits = ir.VectorType(ir.IntType(8 * x.bytes), x.kind.count)
    return (23, 127, bits) if x.bytes == 4 else (52, 1023, bits)


def _polynomial(x: Lanes, coefficients: list[float]) -> Lanes:
    """Evaluate Horner's scheme; the constant coefficient comes first."""
    *rest, last = coefficients
    value = x.of(constant(x.kind, last))
    for coefficient in reversed(rest):
        value = value.times_plus(x, coefficient)
    return value


def _function(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Declare a function of LLVM; its name ends in the type it works on."""
    kind = arguments[-1]
    element = getattr(kind, "element", kind)
    letter = f"i{element.width}" if isinstance(element, ir.IntType) else "f64"
    if isinstance(element, ir.FloatType):
        letter = "f32"
    suffix = f"v{kind.count}{letter}" if isinstance(kind, ir.VectorType) else letter
    return cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(result, arguments), f"llvm.{name}.{suffix}"
    )
