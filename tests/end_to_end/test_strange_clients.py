"""WebRTC implementations that share nothing with this project, nor with each other: each publishes, and each plays."""

from pathlib import Path
from urllib.parse import urljoin
from uuid import uuid4

import httpx
import numpy as np
import pytest

from tests.clients.aiortc_client import RATE, AiortcClient, heard, loudest_frequency, rms, tone
from tests.clients.whip_programs import PROGRAMS, Program, session
from tests.end_to_end.gathering import GAUGES, Guest, everything_freed
from tests.end_to_end.server import Server
