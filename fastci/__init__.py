"""fast-action: record functional tests, replay them as attacks, fail the build on proof."""

__version__ = "0.1.0"
