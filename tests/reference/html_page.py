"""What a page holds, read back from its text."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Headings, tables as rows of cell texts, list items, and all attributes."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.tables, self.items, self.attributes, self.tags = [], {}, [], [], []
        self._row = self._into = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "table":
            self._table = self.tables[dict(attrs)["id"]] = []
        elif tag == "tr":
            self._row = []
            self._table.append(self._row)
        elif tag in ("th", "td"):
            self._row.append("")
            self._into = self._row
        elif tag in ("h1", "h2", "h3", "li"):
            self._into = self.items if tag == "li" else self.headings
            self._into.append("")
        elif tag == "small":
            self._into[-1] += "\n"

    def handle_data(self, data):
        if self._into is not None:
            self._into[-1] += data

    def handle_endtag(self, tag):
        if tag in ("th", "td", "h1", "h2", "h3", "li"):
            self._into = None
