"""SPINE's command line, which then knows our scores too."""

from spine.bin.cli import cli

from in_spine import register_scores

if __name__ == "__main__":
    register_scores()
    cli()
