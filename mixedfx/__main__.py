"""`python -m mixedfx`: the command line."""

from mixedfx.cli import app

if __name__ == "__main__":
    app(prog_name="mixedfx")
