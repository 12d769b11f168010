"""``python -m esl_controller``: the same as the command ``esl-controller``."""

import sys

from esl_controller.cli.main import main

sys.exit(main())
