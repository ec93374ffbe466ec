"""A plugin as pip would install it, in a folder for `PYTHONPATH`: one module, and the metadata that names it by entry point."""

from pathlib import Path


def add_plugin(folder: Path, name: str, source: str) -> None:
    """`name` is the plugin's, `my-plugin`; its distribution has the same, its module `my_plugin`."""
    module = name.replace("-", "_")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[omniroute]\n{name} = {module}\n", encoding="utf-8")
    (info / "RECORD").write_text("", encoding="utf-8")
