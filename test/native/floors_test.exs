defmodule Python.FloorsTest do
  # `make check-floors`: that it finds what it is to find.
  use ExUnit.Case, async: true

  @script "scripts/check_floors.exs"

  @moduletag :tmp_dir

  test "the native library's own floors are in order" do
    assert {_, 0} = System.cmd("elixir", [@script], stderr_to_stdout: true)
  end

  test "floors that use only those below are in order", %{tmp_dir: root} do
    files = %{
      "lib.rs" => "mod base;\nuse crate::nif::pool;\n",
      "base/mod.rs" => "pub mod lock;\npub mod term;\n",
      "base/lock.rs" => "// use crate::pool::Pool;\nuse std::sync::Arc;\n",
      "base/term.rs" => "use super::lock;\n",
      "pool/mod.rs" => "use crate::base::{lock::Mutex, term};\n",
      "nif/pool.rs" => "use crate::pool::Pool;\nfn all() { crate::base::term::all(); }\n",
      "python/code.rs" => """
      use pyo3::Python;

      mod inner {
          use super::Code;
      }

      #[cfg(test)]
      mod tests {
          use crate::pool::Pool;
      }
      """
    }

    assert {_, 0} = check(root, files)
  end

  test "a `use` of a floor above is found", %{tmp_dir: root} do
    files = %{
      "base/term.rs" => "",
      "pool/mod.rs" => "",
      "python/code.rs" => """
      use crate::{
          base::term,
          pool::{Pool as Pond, Queue},
      };
      """
    }

    assert {output, 1} = check(root, files)
    assert output =~ "python::code uses pool, and python may use only python, base"
    refute output =~ "base::term"
  end

  test "a path to a floor above is found, without a `use` too", %{tmp_dir: root} do
    files = %{
      "engine/main/call.rs" => "",
      "nif/pool.rs" => "",
      "pool/queue.rs" => "fn next() {\n    super::super::engine::main::call::go();\n}\n",
      "engine/mod.rs" => "mod inner {\n    use super::super::nif::pool;\n}\n"
    }

    assert {output, 1} = check(root, files)
    assert output =~ "pool::queue uses engine::main::call"
    assert output =~ "engine uses nif::pool"
  end

  test "pyo3 is found where nothing knows of Python, and files that are on no floor", %{
    tmp_dir: root
  } do
    files = %{"pool/queue.rs" => "use pyo3::Python;\n", "stray.rs" => ""}
    assert {output, 1} = check(root, files)
    assert output =~ "pool::queue uses pyo3"
    assert output =~ "stray is on no floor"
  end

  test "a circle of more than four files is found", %{tmp_dir: root} do
    circle = fn names ->
      for {name, next} <- Enum.zip(names, tl(names) ++ [hd(names)]), into: %{} do
        {"base/#{name}.rs", "use crate::base::#{next}::Thing;\n"}
      end
    end

    assert {_, 0} = check(Path.join(root, "four"), circle.(~w(a b c d)))
    assert {output, 1} = check(Path.join(root, "five"), circle.(~w(a b c d e)))
    assert output =~ "base::a, base::b, base::c, base::d, base::e use each other"
  end

  test "a circle that leaves its folder is found", %{tmp_dir: root} do
    files = %{
      "python/names.rs" => "use crate::python::convert::text;\n",
      "python/convert/mod.rs" => "pub mod text;\n",
      "python/convert/text.rs" => "use crate::python::names;\n"
    }

    assert {output, 1} = check(root, files)
    assert output =~ "python::convert::text, python::names use each other"
    assert output =~ "in different folders"
  end

  defp check(root, files) do
    for {file, source} <- files do
      path = Path.join(root, file)
      File.mkdir_p!(Path.dirname(path))
      File.write!(path, source)
    end

    System.cmd("elixir", [@script, root], stderr_to_stdout: true)
  end
end
