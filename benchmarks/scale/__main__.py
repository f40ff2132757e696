"""The cost of a round by the number of workers: calibrate at 4 to 8 workers, predict, measure up to 48, extrapolate.

python -m benchmarks.scale [--rounds 40] [--passes 3] [--write]   measure, print, and write docs/scale.md
python -m benchmarks.scale --tables                               from the constants that the document has
"""

import argparse

from benchmarks.report import machine, write_section
from benchmarks.scale.calibration import calibrated, checks
from benchmarks.scale.document import (
    DOCUMENT,
    check_table,
    constants_table,
    derived,
    read_constants,
    with_block,
)
from benchmarks.scale.measuring import Measured, measure


def measured_blocks(m: Measured) -> dict[str, str]:
    """Return the text blocks of docs/scale.md that contain the measurements `m`, by name."""
    constants = constants_table(calibrated(m))
    rounded = read_constants(f"<!-- constants -->\n{constants}\n<!-- end -->")
    circumstances = (
        f"Measured on {machine()}, shared with others: load {m.load[0]:.0f} when it began and {m.load[1]:.0f} when it "
        f"ended. {len(m.start)} workers were started in {m.started:.0f} s of the clock."
    )
    return {"constants": constants, "circumstances": circumstances, "checks": check_table(checks(m, rounded))}


def write(blocks: dict[str, str]) -> None:
    """Write text blocks into docs/scale.md. Then recompute the blocks that depend on the constants in the document."""
    text = DOCUMENT.read_text()
    for name, content in blocks.items():
        text = with_block(text, name, content)
    for name, content in derived(read_constants(text)).items():
        text = with_block(text, name, content)
    DOCUMENT.write_text(text)


def recorded(blocks: dict[str, str]) -> None:
    """Write the text blocks `blocks` into RESULTS.md, as one section."""
    write_section(
        "Cost of a round by the number of workers",
        f"`python -m benchmarks.scale --write`. {blocks['circumstances']} The tables, and what follows from them for "
        "10 to 10 000 workers, are in [docs/scale.md](../docs/scale.md).",
    )


def main() -> None:
    """Measure, print, and write docs/scale.md; with --tables, only recompute its tables from the constants in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="of each repetition")
    parser.add_argument("--passes", type=int, default=3, help="over all games and numbers of workers")
    parser.add_argument("--write", action="store_true", help="put what was measured into docs/scale.md")
    parser.add_argument("--tables", action="store_true", help="measure nothing; write what follows from the constants")
    options = parser.parse_args()
    if options.tables:
        write({})
        return
    blocks = measured_blocks(measure(options.rounds, options.passes))
    print(*blocks.values(), sep="\n\n")
    if options.write:
        write(blocks)
        recorded(blocks)


if __name__ == "__main__":
    main()
