"""Crash below Python."""

import ctypes

ctypes.string_at(0)
