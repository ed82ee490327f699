"""The profiles that `paper-tables --profile` knows: a module each, and a row here."""

from distill.studies.mini_profile import MINI
from distill.studies.paper_profile import PAPER

PROFILES = {profile.name: profile for profile in (PAPER, MINI)}
