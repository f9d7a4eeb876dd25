"""Name, list, read and rewrite the parts of a request (spec/points.md). The face of the package."""

from fastci.node.points.listing import list_points
from fastci.node.points.model import Kind, Point
from fastci.node.points.onigmo import compile_ruby
from fastci.node.points.pattern import PointPattern, compile_point

__all__ = ["Kind", "Point", "PointPattern", "compile_point", "compile_ruby", "list_points"]
