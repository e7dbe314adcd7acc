"""`python -m control_plane`: the control plane alone, without voice until a media node can register."""

import os
import sys

import uvicorn

from control_plane.app import build
from control_plane.logs import configure_logs
from control_plane.settings import SettingsError, load_settings
from control_plane.voice.grants import KeyUnusable
from proto.gateway import MAX_FRAME


def main() -> int:
    configure_logs()
    try:
        settings = load_settings(os.environ)
    except (SettingsError, KeyUnusable) as wrong:
        print(wrong, file=sys.stderr)
        return 2
    uvicorn.run(build(settings), host=settings.host, port=settings.port, access_log=False, ws_max_size=2 * MAX_FRAME)
    return 0


if __name__ == "__main__":
    sys.exit(main())
