//! The library leaves `enif_*` and `Py*` to be found at run time, in the VM and in the libpython
//! that the loader opened. An executable may not have undefined symbols, and the unit tests are
//! one: they cover what needs neither, so the linker is told not to mind.

fn main() {
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match target.as_str() {
        "macos" => println!("cargo:rustc-link-arg=-Wl,-undefined,dynamic_lookup"),
        "windows" => {}
        _ => println!("cargo:rustc-link-arg=-Wl,--unresolved-symbols=ignore-all"),
    }
}
