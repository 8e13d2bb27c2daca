"""`python -m hrec_tf.export` does what `hrec export` does."""

import sys

from hrec_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
