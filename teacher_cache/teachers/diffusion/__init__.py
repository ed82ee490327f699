"""Pipelines that make pictures and videos, through diffusers."""
