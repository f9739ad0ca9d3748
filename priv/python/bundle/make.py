"""Copies a Python and the packages of an environment into a folder that can be moved.

    python -E -s make.py TARGET --environment FOLDER --library LIBPYTHON --keep tkinter

It runs under the interpreter that is copied, which knows best where its parts are, and prints lines for
lib/python/release/build.ex. Of the installation only what runs is taken: the rest of the folder, such as /usr, may have
anything in it.
"""

import argparse
import fnmatch
import importlib
import json
import os
import shutil
import site
import stat
import subprocess
import sys
import sysconfig

from elf import Elf

# What a program that is deployed has no use for, by the name under which it can be kept.
PARTS = {
    "test": ["test", "tests", "idle_test", "_test*.so", "_ctypes_test*.so", "_xxtestfuzz*.so", "xxlimited*.so"],
    "tkinter": ["tkinter", "turtle.py", "turtledemo", "_tkinter*.so"],
    "idlelib": ["idlelib"],
    "ensurepip": ["ensurepip"],
    "pydoc_data": ["pydoc_data"],
}

# What is needed to build programs and extension modules, and what belongs to the place that is left.
NEVER = ["__pycache__", "site-packages", "dist-packages", "config-*", "*.a", "*.o", "*.pyc", "EXTERNALLY-MANAGED"]

# Libraries of the system that a small one may lack, and that nothing else in the VM loads: those of OpenSSL are to be of
# one version with the ones that Erlang has loaded, and terminals are described by files of the system.
TAKEN = ("libffi.", "libsqlite3.", "libbz2.", "liblzma.", "libuuid.", "libexpat.", "libmpdec.", "libzstd.", "libgdbm.")

# Where every program looks anyway.
SYSTEM = ("/lib", "/usr/lib")

# Of an environment: what stands for it itself.
ITS_OWN = ["__pycache__", "_virtualenv.pth", "_virtualenv.py", "*.pyc"]


class Refused(Exception):
    """The installation cannot be copied."""


class Bundle:
    def __init__(self, target, keep):
        self.target = target
        self.base = os.path.realpath(sys.base_prefix)
        self.dropped = [p for name, patterns in PARTS.items() if name not in keep for p in patterns]
        self.keep = keep
        self.copied = []
        self.warnings = []

    def place(self, path):
        """Where a file of the installation is in the bundle."""
        relative = os.path.relpath(os.path.realpath(os.path.dirname(path)), self.base)
        if relative.startswith(os.pardir):
            relative = "lib"
        return os.path.join(self.target, relative, os.path.basename(path))

    def copy(self, path, to):
        os.makedirs(os.path.dirname(to), exist_ok=True)
        shutil.copy2(path, to)
        # Some systems have libraries that nobody may write.
        os.chmod(to, stat.S_IMODE(os.stat(to).st_mode) | stat.S_IWUSR)
        self.copied.append((path, to))

    def copy_tree(self, folder, to, left_out):
        """All of a folder but what has one of these names, at any depth."""

        def stays(name):
            return not any(fnmatch.fnmatchcase(name, pattern) for pattern in left_out)

        for place, folders, files in os.walk(folder, followlinks=True):
            folders[:] = sorted(filter(stays, folders))
            here = os.path.normpath(os.path.join(to, os.path.relpath(place, folder)))
            for name in sorted(filter(stays, files)):
                path = os.path.join(place, name)
                if os.path.isfile(path):
                    self.copy(path, os.path.join(here, name))

    # The parts of the installation

    def library(self):
        """The standard library, with its extension modules where they have a folder of their own."""
        standard = sysconfig.get_path("stdlib")
        folders = [standard]
        for path in sys.path:
            if os.path.basename(path) == "lib-dynload" and not path.startswith(standard + os.sep):
                folders.append(path)
        for folder in folders:
            if os.path.isdir(folder):
                self.copy_tree(folder, self.place(folder), NEVER + self.dropped)
        if "tkinter" in self.keep:
            for folder in ("tcl*", "tk*", "itcl*", "thread*"):
                self.copy_matching(os.path.join(self.base, "lib"), folder)

    def copy_matching(self, folder, pattern):
        for name in sorted(fnmatch.filter(os.listdir(folder), pattern)):
            path = os.path.join(folder, name)
            if os.path.isdir(path):
                self.copy_tree(path, self.place(path), ["*.a"])

    def program(self):
        path = os.path.realpath(sys.executable)
        name = "python%d.%d" % sys.version_info[:2]
        to = os.path.join(self.target, "bin", name)
        self.copy(path, to)
        for link in ("python3", "python"):
            os.symlink(name, os.path.join(self.target, "bin", link))

    def shared_library(self, path):
        if path:
            self.copy(path, os.path.join(self.target, "lib", os.path.basename(path)))

    def needed(self):
        """The libraries of the installation's own folder that its files need, and those that the machine is to have."""
        own = self.base not in ("/", "/usr")
        there = {os.path.basename(to) for _, to in self.copied}
        missing, queue = set(), list(self.copied)
        while queue:
            path, _ = queue.pop()
            elf = Elf.read(path)
            for name in elf.needed if elf else ():
                if name in there or name in missing:
                    continue
                found = self.find(name, path, elf) if own else None
                if found is None:
                    missing.add(name)
                else:
                    there.add(name)
                    self.copy(found, os.path.join(self.target, "lib", name))
                    queue.append(self.copied[-1])
        return missing

    def find(self, name, path, elf):
        folders = [os.path.join(self.base, "lib"), os.path.join(self.base, "lib64")]
        for _, text in elf.places:
            for folder in text.split(":"):
                folders.append(folder.replace("$ORIGIN", os.path.dirname(path)).replace("${ORIGIN}", os.path.dirname(path)))
        for folder in folders:
            found = os.path.realpath(os.path.join(folder, name))
            if os.path.isfile(found) and found.startswith(self.base + os.sep):
                return found
        return None

    def relocate(self):
        """Files that look for libraries in the installation look for them in the bundle."""
        if sys.platform == "darwin":
            self.check_names()
        for _, to in self.copied:
            elf = Elf.read(to)
            for start, text in elf.places if elf else ():
                folders = [self.relative(folder, to) for folder in text.split(":")]
                new = ":".join(dict.fromkeys(folders))
                if new != text and not elf.replace(start, text, new):
                    raise Refused(
                        "%s looks for libraries in %s, which cannot be changed into %s" % (os.path.basename(to), text, new)
                    )

    def take(self, missing):
        """Copies libraries of the system, where all that need one look into the bundle. What is still missing."""
        wanted = {name for name in missing if name.startswith(TAKEN)}
        users = [elf for elf in map(Elf.read, [to for _, to in self.copied]) if elf and wanted.intersection(elf.needed)]
        for elf in users:
            if not self.looks_here(elf):
                wanted.difference_update(elf.needed)
        left = missing - wanted
        for name, path in loaded(wanted).items():
            self.copy(os.path.realpath(path), os.path.join(self.target, "lib", name))
            wanted.discard(name)
            # It does not look into the bundle itself.
            left.update(Elf.read(path).needed)
        return (left | wanted) - {os.path.basename(to) for _, to in self.copied}

    def looks_here(self, elf):
        here = os.path.join(self.target, "lib")
        folders = [folder for _, text in elf.places for folder in text.split(":")]
        origin = os.path.dirname(elf.path)
        return here in [os.path.normpath(folder.replace("$ORIGIN", origin)) for folder in folders]

    def check_names(self):
        """On macOS a library has the path of each library that it needs."""
        for path, to in self.copied:
            if not (to.endswith((".dylib", ".so")) or os.path.dirname(to) == os.path.join(self.target, "bin")):
                continue
            try:
                text = subprocess.run(["otool", "-L", path], stdout=subprocess.PIPE, check=True).stdout.decode()
            except (OSError, subprocess.CalledProcessError):
                continue
            for line in text.splitlines()[1:]:
                name = line.split(" (")[0].strip()
                if name.startswith(self.base + os.sep) and os.path.basename(name) != os.path.basename(path):
                    raise Refused("%s needs %s, by that path" % (os.path.basename(path), name))

    def relative(self, folder, to):
        """The same folder in the bundle. One of another installation, which this one was made from, is that of its libraries."""
        if not os.path.isabs(folder) or folder.startswith(SYSTEM):
            return folder
        folder = os.path.realpath(folder)
        own = folder == self.base or folder.startswith(self.base + os.sep)
        inside = os.path.join(self.target, os.path.relpath(folder, self.base) if own else "lib")
        return "$ORIGIN/" + os.path.relpath(inside, os.path.dirname(to))

    # The packages

    def packages(self, environment):
        """The packages of a virtual environment, and the folders of those that are installed in place."""
        names = ["lib", "lib64"] if os.path.isdir(os.path.join(environment, "lib64")) else ["lib"]
        version = "python%d.%d" % sys.version_info[:2]
        found = {os.path.realpath(os.path.join(environment, name, version, "site-packages")) for name in names}
        to = self.site_packages()
        os.makedirs(to, exist_ok=True)
        in_place = []
        for folder in sorted(filter(os.path.isdir, found)):
            left_out, folders = self.editable(folder)
            in_place += folders
            self.copy_tree(folder, to, ITS_OWN + left_out)
            self.check_links(to)
        for name in ("share", "etc"):
            folder = os.path.join(environment, name)
            if os.path.isdir(folder):
                self.copy_tree(folder, os.path.join(self.target, name), ITS_OWN)
        self.scripts(environment)
        return in_place

    def site_packages(self):
        folders = site.getsitepackages([self.base])
        return os.path.join(self.target, os.path.relpath(folders[0], self.base))

    def editable(self, folder):
        """What belongs to packages that are installed in place, and the folders that they are in."""
        files, folders = [], []
        for info in fnmatch.filter(os.listdir(folder), "*.dist-info"):
            try:
                with open(os.path.join(folder, info, "direct_url.json"), encoding="utf-8") as file:
                    url = json.load(file)
            except (OSError, ValueError):
                continue
            if url.get("dir_info", {}).get("editable") and url["url"].startswith("file://"):
                from urllib.request import url2pathname

                folders.append(url2pathname(url["url"][len("file://") :]))
                files.append(info)
                files += self.recorded(os.path.join(folder, info))
        return files, folders

    def recorded(self, info):
        with open(os.path.join(info, "RECORD"), encoding="utf-8") as file:
            names = [line.rsplit(",", 2)[0] for line in file]
        return [name for name in names if "/" not in name]

    def check_links(self, folder):
        for name in fnmatch.filter(os.listdir(folder), "*.pth"):
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                for line in file:
                    if os.path.isabs(line.strip()):
                        raise Refused("%s of the environment adds the folder %s, which is not in it" % (name, line.strip()))

    def scripts(self, environment):
        folder = os.path.join(environment, "bin")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path) or fnmatch.fnmatch(name, "python*"):
                continue
            if fnmatch.fnmatch(name, "*activate*") or name == "pydoc.bat":
                continue
            self.copy(path, os.path.join(self.target, "bin", name))


def loaded(names):
    """Where the libraries of these names are, those of all extension modules being loaded."""
    for folder in sys.path:
        if names and os.path.basename(folder) == "lib-dynload":
            for module in os.listdir(folder):
                try:
                    importlib.import_module(module.split(".")[0])
                except Exception:
                    pass
    found = {}
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            for line in maps:
                path = line[line.find("/") :].rstrip("\n") if "/" in line else ""
                elf = Elf.read(path) if path and path not in found.values() and os.path.isfile(path) else None
                if elf and elf.soname in names:
                    found[elf.soname] = path
    except OSError:
        pass
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--environment", required=True)
    parser.add_argument("--library")
    parser.add_argument("--keep", action="append", default=[])
    arguments = parser.parse_args()

    bundle = Bundle(os.path.abspath(arguments.target), arguments.keep)
    try:
        bundle.library()
        bundle.program()
        bundle.shared_library(arguments.library)
        missing = bundle.needed()
        bundle.relocate()
        missing = bundle.take(missing)
        in_place = bundle.packages(arguments.environment)
    except Refused as error:
        tell("refused", [str(error)])
        return
    tell("machine", sorted(missing))
    tell("in_place", in_place)
    tell("site_packages", [bundle.site_packages()])


def tell(what, values):
    for value in values:
        print("bundle\t%s\t%s" % (what, value.replace("\n", " ")))


if __name__ == "__main__":
    main()
