"""Check that all internal links of the built site lead to an existing page and place."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id" and value or name == "name" and tag == "a" and value:
                self.places.add(value)


def broken_links(site: Path) -> list[str]:
    "`page: link` for every internal link that leads nowhere."
    pages = {}
    for file in sorted(site.rglob("*.html")):
        if "_static" in file.parts:  # the theme's templates
            continue
        page = _Page()
        page.feed(file.read_text())
        pages[file.resolve()] = page
    broken = []
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            to = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            to = to / "index.html" if to.is_dir() else to
            place = unquote(parts.fragment)
            if not to.exists() or (place and to in pages and place not in pages[to].places):
                broken.append(f"{file.relative_to(site.resolve())}: {link}")
    return broken


if __name__ == "__main__":
    found = broken_links(Path(sys.argv[1]))
    print(*found, sep="\n")
    sys.exit(bool(found))
