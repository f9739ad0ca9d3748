//! Code that is known to end soon and well when Python starts: what tools for packages write into `.pth` files by
//! themselves, and what Debian installs, word for word.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// setuptools, which has its own `distutils` found. What it does unless `SETUPTOOLS_USE_DISTUTILS` says otherwise has
/// changed once.
const DISTUTILS: [&str; 2] = [
    "import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; \
     enabled and __import__('_distutils_hack').add_shim();",
    "import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'stdlib') == 'local'; \
     enabled and __import__('_distutils_hack').add_shim();",
];

/// virtualenv, and uv.
const VIRTUALENV: &str = "import _virtualenv";

/// Whether a line of a file in a folder of packages is one of these, and what it imports is there.
pub fn ends_well(site: &Path, line: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(line) else {
        return false;
    };
    let is_there = |file: &str| site.join(file).is_file();
    if DISTUTILS.contains(&line) {
        return is_there("_distutils_hack/__init__.py");
    }
    if line == VIRTUALENV {
        return is_there("_virtualenv.py");
    }
    editable(line).is_some_and(|module| is_there(&format!("{module}.py")))
}

/// What Debian and Ubuntu install. Ubuntu's hook is for exceptions that nobody handles.
const SITECUSTOMIZE: &[u8] = b"\
# install the apport exception handler if available
try:
    import apport_python_hook
except ImportError:
    pass
else:
    apport_python_hook.install()
";

/// Whether a module that `site` imports is Debian's.
pub fn customizes_well(file: &Path) -> bool {
    file.file_name() == Some(OsStr::new("sitecustomize.py"))
        && fs::metadata(file).is_ok_and(|file| file.len() == SITECUSTOMIZE.len() as u64)
        && fs::read(file).is_ok_and(|text| text == SITECUSTOMIZE)
}

/// The module that setuptools makes for a package which was installed to be edited where it is.
fn editable(line: &str) -> Option<&str> {
    let (module, call) = line.strip_prefix("import ")?.split_once("; ")?;
    let package = module
        .strip_prefix("__editable___")?
        .strip_suffix("_finder")?;
    let is_name = package
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (is_name && call.strip_prefix(module) == Some(".install()")).then_some(module)
}

#[cfg(test)]
mod tests {
    use super::{SITECUSTOMIZE, customizes_well, editable};
    use std::fs;

    #[test]
    fn what_debian_installs_is_known_word_for_word() {
        let folder = std::env::temp_dir().join(format!("known_{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let mut changed = SITECUSTOMIZE.to_vec();
        changed[2] ^= 1;
        for (name, text, known) in [
            ("sitecustomize.py", SITECUSTOMIZE, true),
            ("sitecustomize.py", &changed, false),
            ("sitecustomize.py", b"", false),
            ("usercustomize.py", SITECUSTOMIZE, false),
        ] {
            let file = folder.join(name);
            fs::write(&file, text).expect("a file");
            assert_eq!(customizes_well(&file), known, "{name}");
            fs::remove_file(&file).expect("a file");
        }
        assert!(!customizes_well(&folder.join("sitecustomize.py")));
        fs::remove_dir(&folder).expect("a folder");
    }

    #[test]
    fn the_module_of_a_package_to_be_edited() {
        for (line, module) in [
            (
                "import __editable___shop_1_0_finder; __editable___shop_1_0_finder.install()",
                Some("__editable___shop_1_0_finder"),
            ),
            (
                "import __editable___shop_finder; __editable___other_finder.install()",
                None,
            ),
            (
                "import __editable___shop_finder; __editable___shop_finder.install(); import os",
                None,
            ),
            (
                "import __editable___a.b_finder; __editable___a.b_finder.install()",
                None,
            ),
            ("import shop; shop.install()", None),
        ] {
            assert_eq!(editable(line), module, "{line}");
        }
    }
}
