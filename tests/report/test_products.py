"""Matrix products in the reports: the line of each can be read, however long the file's name is."""

import io

from rich.console import Console

from pto_sim.report.html import report_html
from pto_sim.report.model import ProductReport
from pto_sim.report.terminal import products_table

FILE = "decode_a_kernel_with_a_name_that_is_longer_than_its_column.py"


def product(line):
    return ProductReport(f"{FILE}:{line}", "matmul", 1, 32, 512, 128, "BF16", 32, 128, 128, 4, "output")


def test_the_terminal_shows_the_line_of_every_product():
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(products_table([product(170), product(2177)]))
    lines = [line.split("│") for line in console.file.getvalue().splitlines()]
    sites = "".join(cells[1].strip() for cells in lines if len(cells) > 2)
    assert sites == f"{FILE}:170{FILE}:2177"


def test_the_page_shows_extents_and_tile(make_report):
    page = report_html(make_report(products=(product(170),)))
    assert f"{FILE}:170" in page and "32 x 512 x 128" in page and "32 x 128 x 128" in page
