"""Bounds on what one request can cost, whatever bytes it holds. What lies beyond is an opaque value."""

MAX_PARSED = 16 * 2**20  # bytes of one value that parsers look into
MAX_DECODED = 16 * 2**20  # bytes that decoding (GZIP, ZIP, BASE64 ...) may give per request, all together
MAX_ELEMENTS = 50_000  # points per request, names and values
MAX_WORDS = 4_000_000  # words in the names of one document's elements
MAX_NAMES = 16 * 2**20  # characters in all point names of a request
MAX_LAYERS = 16  # parsers inside one another
MAX_DEPTH = 10_000  # containers of one JSON document inside one another
MAX_BRACKETS = 32  # brackets in one parameter name
