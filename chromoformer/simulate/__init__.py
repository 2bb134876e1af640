"""Simulate a toy epigenome of known truth, in real file formats."""

from .epigenome import simulate
