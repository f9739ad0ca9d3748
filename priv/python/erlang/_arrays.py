"""Arrays of numbers: where the memory of an object is, and arrays over the binaries of the VM.

The bytes are copied by the native library, which is told what there is: see ``described``.
"""

import sys

_numpy = None
_dtypes = {}

#: The kinds of numbers by their formats in the module ``struct``.
_FORMATS = {
    "?": "b",
    "e": "f",
    "f": "f",
    "d": "f",
    "F": "c",
    "D": "c",
    "Zf": "c",
    "Zd": "c",
}
_FORMATS.update(dict.fromkeys("bhilqn", "i"))
_FORMATS.update(dict.fromkeys("BHILQN", "u"))

#: How many bytes an item has that is known.
_SIZES = {"b": (1,), "f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "c": (8, 16), "B": (2,)}

_BIG = sys.byteorder == "big"


# To Elixir


class Refused(Exception):
    """Why there is nothing, as a text."""


def described(object, shares):
    """Where the items of an object are.

    ``(keeper, letter, bytes, swapped, place, origin)``: the memory is there as long as the keeper is. Without a place they are
    those of the keeper's buffer. A place is ``(in_buffer, at, shape, strides)``: from byte ``at`` of the buffer on, or at that
    address. The origin is whose memory it is, if ``shares``. A capsule of DLPack stands for itself, and a text says
    why there is nothing.
    """
    try:
        return _described(object, shares)
    except Refused as refused:
        return str(refused)


def _described(object, shares):
    numpy = loaded("numpy", "generic")
    if numpy is not None and isinstance(object, (numpy.ndarray, numpy.generic)):
        return _of_numpy(numpy, object, shares)
    torch = loaded("torch", "Tensor")
    if torch is not None and isinstance(object, torch.Tensor):
        return _of_torch(torch, object)
    try:
        view = memoryview(object)
    except (TypeError, ValueError, BufferError) as error:
        buffer_error = error
    else:
        return _of_buffer(view, shares)
    interface = getattr(object, "__array_interface__", None)
    if interface is not None:
        return _of_interface(object, interface)
    if hasattr(object, "__dlpack__"):
        return _of_dlpack(object)
    if hasattr(object, "__array__"):
        numpy = numpy or _import_numpy()
        if numpy is not None:
            return _of_numpy(numpy, numpy.asarray(object), shares)
    if isinstance(buffer_error, TypeError):
        reason = "it has no buffer, no __array_interface__ and no __dlpack__"
    else:
        reason = str(buffer_error)
    remedy = "; make an array of it in Python first, such as numpy.asarray(...)"
    raise Refused("expected an array, got: an object of the class %s, %s%s" % (name_of(object), reason, remedy))


def loaded(module, name):
    """A module that has this name already: another thread may be importing it."""
    module = sys.modules.get(module)
    return module if hasattr(module, name) else None


def _of_numpy(numpy, array, shares):
    masked = loaded("numpy.ma", "MaskedArray")
    if masked is not None and isinstance(array, masked.MaskedArray):
        raise Refused(
            "a masked array has items that are missing, which a Python.Array cannot have; call its filled(value) first"
        )
    if not isinstance(array, numpy.ndarray):
        array = numpy.asarray(array)
    dtype = array.dtype
    letter, size = dtype.kind, dtype.itemsize
    if letter == "V" and dtype.name == "bfloat16":
        letter, array = "B", numpy.ndarray.view(array, numpy.uint16)
    elif size not in _SIZES.get(letter, ()):
        raise Refused(_of_what(dtype, _numpy_remedy(letter)))
    origin = _origin(numpy, array) if shares else None
    return array, letter, size, not dtype.isnative, None, origin


def _origin(numpy, object):
    while True:
        if isinstance(object, memoryview):
            object = object.obj
        elif isinstance(object, numpy.ndarray) and object.base is not None:
            object = object.base
        else:
            return object


def _numpy_remedy(letter):
    if letter in "OSU":
        return "call its tolist() for a list"
    if letter in "Mm":
        return "call its astype('int64') for numbers, or its tolist() for a list"
    if letter == "V":
        return "take one of its fields"
    return "convert it with astype(), such as astype('float64')"


def _of_what(dtype, remedy):
    return "expected an array of plain numbers, got: one of the dtype %s; %s" % (dtype, remedy)


def _of_torch(torch, tensor):
    if tensor.layout != torch.strided:
        raise Refused("expected a dense tensor, got: one of the layout %s; call its to_dense()" % (tensor.layout,))
    if tensor.device.type != "cpu":
        raise Refused(
            "expected a tensor in the memory of the processor, got: one on the device %s; call its cpu()" % (tensor.device,)
        )
    tensor = tensor.detach()
    for name in ("resolve_conj", "resolve_neg"):
        if hasattr(tensor, name):
            tensor = getattr(tensor, name)()
    name = str(tensor.dtype).rpartition(".")[2]
    size = tensor.element_size()
    letter = "B" if name == "bfloat16" else {"b": "b", "f": "f", "i": "i", "u": "u", "c": "c"}.get(name[0])
    if getattr(tensor, "is_quantized", False) or size not in _SIZES.get(letter, ()) or not _is_plain(name):
        remedy = "convert it with its dequantize()" if name.startswith("q") else "convert it with its to(), such as to(torch.float32)"
        raise Refused(_of_what(name, remedy))
    strides = [items * size for items in tensor.stride()]
    return tensor, letter, size, False, (False, tensor.data_ptr(), list(tensor.shape), strides), None


def _is_plain(name):
    """Whether a name of a dtype is one of numbers of whole bytes: not ``bits8`` or ``float8_e5m2``."""
    return name.rstrip("0123456789") in ("bool", "float", "bfloat", "int", "uint", "complex")


def _of_buffer(view, shares):
    order = view.format[:1]
    swapped = False
    name = view.format
    if order in "@=<>!":
        swapped = order in ("<" if _BIG else ">!")
        name = name[1:]
    # Some say that items are a part of a larger one.
    letter = _FORMATS.get(name)
    if letter is None or view.itemsize not in _SIZES[letter]:
        raise Refused(_of_what("%r of %d bytes" % (view.format, view.itemsize), "call its tolist() for a list"))
    origin = None
    if shares:
        numpy = loaded("numpy", "generic")
        origin = view.obj if numpy is None else _origin(numpy, view.obj)
    return view, letter, view.itemsize, swapped, None, origin


def _of_interface(object, interface):
    try:
        typestr, shape = interface["typestr"], [int(count) for count in interface["shape"]]
        order, letter, size = typestr[0], typestr[1], int(typestr[2:])
        data, strides, offset = interface.get("data"), interface.get("strides"), interface.get("offset", 0)
        mask = interface.get("mask")
        strides = None if strides is None else [int(stride) for stride in strides]
        if min(shape + [offset], default=0) < 0:
            raise ValueError("a count below 0")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Refused("the __array_interface__ of this %s is not valid: %r" % (name_of(object), error))
    if mask is not None:
        raise Refused("an array with a mask has items that are missing, which a Python.Array cannot have")
    if letter not in "bfiuc" or size not in _SIZES[letter]:
        raise Refused(_of_what(typestr, "convert it to another dtype first"))
    swapped = order == ("<" if _BIG else ">")
    if isinstance(data, tuple):
        return object, letter, size, swapped, (False, int(data[0]), shape, strides), None
    memory = memoryview(object if data is None else data)
    return memory, letter, size, swapped, (True, offset, shape, strides), None


def _of_dlpack(object):
    device = object.__dlpack_device__()
    if device[0] not in (1, 3, 11):
        raise Refused(
            "expected an array in the memory of the processor, got: one of the class %s on the device %d:%d of DLPack; "
            "copy it there first" % (name_of(object), device[0], device[1])
        )
    try:
        # Only newer capsules can have memory that is read-only.
        return object.__dlpack__(max_version=(1, 0))
    except TypeError:
        return object.__dlpack__()


def name_of(object):
    kind = type(object)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else "%s.%s" % (module, kind.__qualname__)


# To Python


def made(view, letter, size, shape):
    """An array over a buffer, or a text that says why there is none."""
    numpy = _numpy or _import_numpy()
    if numpy is None:
        return (
            "a Python.Array becomes a numpy.ndarray, and numpy is not installed; install it, or pass Python.buffer/2 of "
            "its data"
        )
    dtype = _dtypes.get((letter, size))
    if dtype is None:
        dtype = _dtype(numpy, letter, size)
        if dtype is None:
            return _bfloat16(view, shape)
        _dtypes[letter, size] = dtype
    try:
        return numpy.ndarray(shape, dtype, view)
    except ValueError as error:
        return "numpy has no array of this shape: %s" % error


def _dtype(numpy, letter, size):
    if letter != "B":
        return numpy.dtype("%s%d" % (letter, size))
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        return None
    return numpy.dtype(ml_dtypes.bfloat16)


def _bfloat16(view, shape):
    """A tensor of torch, which has this type without a further package. It can be written to, so it is a copy."""
    torch = loaded("torch", "Tensor")
    if torch is None:
        return (
            "numpy has the dtype bfloat16 from the package ml_dtypes, which is not installed; install it, or import torch, "
            "or convert the array to {:f, 32}"
        )
    if not len(view):
        return torch.empty(shape, dtype=torch.bfloat16)
    return torch.frombuffer(bytearray(view), dtype=torch.bfloat16).reshape(shape)


def _import_numpy():
    global _numpy
    try:
        import numpy
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        return None
    _numpy = numpy
    return numpy
