"""`python -m node` is the command `modswarm`."""

from node.faces.cli.main import main

if __name__ == "__main__":
    main()
