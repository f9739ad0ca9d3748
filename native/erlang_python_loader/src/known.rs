//! Code that is known to end soon and well when Python starts: what tools for packages write into `.pth` files by
//! themselves, and what Debian installs, word for word.

use std::ffi::OsStr;
use std::path::Path;

// Here, since this file is tested as a crate of its own.
#[path = "files.rs"]
pub mod files;

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
    if DISTUTILS.contains(&line) {
        return site.join("_distutils_hack/__init__.py").is_file()
            && is_alone(site, "_distutils_hack");
    }
    let module = match line {
        VIRTUALENV => Some("_virtualenv"),
        line => editable(line),
    };
    module
        .is_some_and(|module| site.join(format!("{module}.py")).is_file() && is_alone(site, module))
}

/// Whether a module has one file or folder there. Of several, Python takes what it likes best.
fn is_alone(site: &Path, module: &str) -> bool {
    let is_its = |name: &[u8]| {
        let rest = name.strip_prefix(module.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
    };
    files::names(site)
        .is_some_and(|names| names.iter().filter(|name| is_its(name.as_slice())).count() == 1)
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
        && files::read(file, SITECUSTOMIZE.len()).is_ok_and(|text| text == SITECUSTOMIZE)
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
    use super::{DISTUTILS, SITECUSTOMIZE, VIRTUALENV, customizes_well, editable, ends_well};
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
    fn what_else_python_may_take_for_the_module_is_not_known() {
        let site = std::env::temp_dir().join(format!("site_{}", std::process::id()));
        for (line, folder, module, other) in [
            (VIRTUALENV, "", "_virtualenv.py", "_virtualenv"),
            (VIRTUALENV, "", "_virtualenv.py", "_virtualenv.abi3.so"),
            (
                DISTUTILS[0],
                "_distutils_hack",
                "_distutils_hack/__init__.py",
                "_distutils_hack.so",
            ),
        ] {
            fs::create_dir_all(site.join(folder)).expect("a folder");
            assert!(!ends_well(&site, line.as_bytes()), "without {module}");
            fs::write(site.join(module), "").expect("a file");
            fs::write(site.join("_virtualenvs.py"), "").expect("a file");
            assert!(ends_well(&site, line.as_bytes()), "{module}");
            fs::create_dir(site.join(other)).expect("a folder");
            assert!(!ends_well(&site, line.as_bytes()), "{other}");
            fs::remove_dir_all(&site).expect("a folder");
        }
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
