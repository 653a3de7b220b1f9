"""A parallel loop for compiled code, in torch's own threads and without the interpreter.

A thread that calls Python has to wait for the interpreter's lock, twice in each loop, which can take longer
than the loop itself. So the body of the loop is compiled into a C function, which goes to the OpenMP runtime
that torch has loaded.
"""

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

_NUMBER = ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()
_COUNT = ir.IntType(32)
_BODY = ir.FunctionType(ir.VoidType(), [_BYTES])
# GOMP_parallel(body, data, threads, flags)
_START = ir.FunctionType(ir.VoidType(), [_BODY.as_pointer(), _BYTES, _COUNT, _COUNT])


@intrinsic
def in_parallel(typing, start, threads, tasks, kernel, arguments):
    """Run ``kernel(task, *arguments)`` for all tasks from 0.

    ``start`` is the address of a function like ``GOMP_parallel``. A thread that is free takes the next task.
    If one raises, the others are done all the same, and then MemoryError is raised: nothing else fails in
    such loops.
    """
    found = kernel.get_call_type(typing, (types.int64, *arguments.types), {})
    signature = types.void(types.int64, types.int64, types.int64, kernel, arguments)

    def generate(context, builder, signature, values):
        compiled = kernel.dispatcher.get_compile_result(found)
        context.active_code_library.add_linking_library(compiled.library)
        descriptor = compiled.fndesc
        given = cgutils.unpack_tuple(builder, values[4])
        # What all threads see: the next task, their number, how many raised, and the arguments.
        frame = ir.LiteralStructType([_NUMBER] * 3 + [value.type for value in given])
        shared = cgutils.alloca_once(builder, frame)

        def member(at, pointer, i):
            return at.gep(pointer, [_COUNT(0), _COUNT(i)])

        for i, value in enumerate([_NUMBER(0), values[2], _NUMBER(0), *given]):
            builder.store(value, member(builder, shared, i))

        module = builder.module
        body = ir.Function(module, _BODY, module.get_unique_name("parallel_body"))
        body.linkage = "internal"
        inner = ir.IRBuilder(body.append_basic_block("entry"))
        mine = inner.bitcast(body.args[0], frame.as_pointer())
        last = inner.load(member(inner, mine, 1))
        passed = [inner.load(member(inner, mine, 3 + i)) for i in range(len(given))]
        loop, work, end = (body.append_basic_block(name) for name in ("loop", "work", "end"))
        inner.branch(loop)
        inner.position_at_end(loop)
        task = inner.atomic_rmw("add", member(inner, mine, 0), _NUMBER(1), "monotonic")
        inner.cbranch(inner.icmp_signed("<", task, last), work, end)
        inner.position_at_end(work)
        status, _ = context.call_conv.call_function(
            inner,
            context.declare_function(module, descriptor),
            descriptor.restype,
            descriptor.argtypes,
            [task, *passed],
        )
        with inner.if_then(status.is_error, likely=False):
            inner.atomic_rmw("add", member(inner, mine, 2), _NUMBER(1), "monotonic")
        inner.branch(loop)
        inner.position_at_end(end)
        inner.ret_void()

        data = builder.bitcast(shared, _BYTES)
        several = builder.icmp_signed(">", values[1], _NUMBER(1))
        with builder.if_else(several) as (together, alone):
            with together:
                begin = builder.inttoptr(values[0], _START.as_pointer())
                builder.call(begin, [body, data, builder.trunc(values[1], _COUNT), _COUNT(0)])
            with alone:
                builder.call(body, [data])
        failed = builder.icmp_signed("!=", builder.load(member(builder, shared, 2)), _NUMBER(0))
        with builder.if_then(failed, likely=False):
            context.call_conv.return_user_exc(builder, MemoryError, ("a compiled loop ran out of memory",))
        return context.get_dummy_value()

    return signature, generate
