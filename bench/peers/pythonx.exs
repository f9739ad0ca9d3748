defmodule Bench.Peers.Peer do
  @moduledoc false

  # Pythonx. It has no pool and no calls: code is text, with variables.

  def start do
    {:ok, _} = Application.ensure_all_started(:pythonx)
    executable = System.fetch_env!("BENCH_PYTHON")

    code =
      "import sys, sysconfig as s; " <>
        "print(s.get_config_var('LIBDIR') + '/' + s.get_config_var('INSTSONAME'), sys.base_prefix, sep='\\n')"

    {output, 0} = System.cmd(executable, ["-c", code])
    [library, home] = String.split(output, "\n", trim: true)
    options = [sys_paths: [System.fetch_env!("BENCH_MODULES")]]
    :ok = apply(Pythonx, :init, [library, home, executable, options])
  end

  defp eval(code, variables) do
    {object, _variables} = apply(Pythonx, :eval, [code, variables])
    object
  end

  defp value(code, variables), do: apply(Pythonx, :decode, [eval(code, variables)])

  def sqrt, do: value("import math; math.sqrt(16)", %{})
  def eval, do: 2 = value("1 + 1", %{})

  # Its strings come in as bytes, and bytes do not come out as strings: the same work, but no check.
  def echo(value), do: value("value", %{"value" => value})
  def echo_bytes(bytes), do: value("value", %{"value" => bytes})
  def length(binary), do: value("len(value)", %{"value" => binary})

  def stream(count) do
    value("import bench_peers; list(bench_peers.numbers(count))", %{"count" => count})
    |> length_of()
  end

  defp length_of(list), do: Kernel.length(list)

  def sends(count) do
    eval(
      "import pythonx\nfor number in range(count): pythonx.send_tagged_object(pid, 'item', number)",
      %{"pid" => self(), "count" => count}
    )
  end

  def fail do
    eval("import bench_peers; bench_peers.fail()", %{})
  rescue
    error -> error
  end

  def sleep(seconds), do: value("import time; time.sleep(seconds)", %{"seconds" => seconds})

  def compute(count),
    do: value("import bench_peers; bench_peers.compute(count)", %{"count" => count})
end
