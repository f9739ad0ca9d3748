defmodule Python.Nodes do
  @moduledoc false

  # Nodes that are connected, each a VM of its own with Python. They need no daemon that knows their ports: all have the same
  # one, each on an address of its own.

  import ExUnit.Assertions, only: [flunk: 1]

  alias Python.FreshVM

  # Of the addresses 127.0.0.2 and on.
  @first 2

  @type t :: %{vm: pid, node: node, port: pos_integer, cookie: String.t()}

  @doc "Starts so many nodes, which end with the calling process. Takes the options of `Python.FreshVM.start/1`."
  @spec start(pos_integer, keyword) :: [t]
  def start(count, options \\ []) do
    port = free_port()
    cookie = "cookie#{System.unique_integer([:positive])}#{port}"

    nodes =
      for number <- @first..(@first + count - 1), do: start_node(number, port, cookie, options)

    for one <- nodes, other <- nodes, one != other, do: connect(one, other)
    nodes
  end

  @doc "Starts one more, which is connected to one that there is. `number`: which no other of them has."
  def start_one(like, number, options \\ []) do
    node = start_node(number, like.port, like.cookie, options)
    connect(node, like)
    node
  end

  defp start_node(number, port, cookie, options) do
    args = args(number, port, cookie) ++ Keyword.get(options, :args, [])
    vm = FreshVM.start(Keyword.put(options, :args, args))
    %{vm: vm, node: FreshVM.call(vm, :erlang, :node, []), port: port, cookie: cookie}
  end

  def connect(one, other), do: true = FreshVM.call(one.vm, Node, :connect, [other.node])

  @doc "Runs code on a node, in a process of its own. The names are bound to the values."
  def eval(node, code, bindings \\ [], timeout \\ 60_000) do
    elem(FreshVM.call(node.vm, Code, :eval_string, [code, bindings], timeout), 0)
  end

  @doc "The same on the node `a`, with `b` for the other node and `there` for its pool."
  def on_a(%{a: a, b: b}, code, bindings \\ []),
    do: eval(a, code, [there: {Python.Pool, b.node}, b: b.node] ++ bindings)

  @doc "Waits until a check gives true; else the test fails, with what it has given last."
  def assert_soon(what, check, tries \\ 200) do
    result = check.()

    cond do
      result == true -> :ok
      tries == 0 -> flunk("#{what}: #{inspect(result)}")
      true -> Process.sleep(50) && assert_soon(what, check, tries - 1)
    end
  end

  @doc "Waits until nodes keep nothing for others, and hold nothing of them."
  def assert_nothing_left(nodes) do
    assert_soon("nothing is kept for others, or held of them", fn ->
      Enum.each(nodes, &collect/1)
      counts = Enum.map(nodes, &handles/1)
      Enum.all?(counts, &(&1 == {0, 0})) || counts
    end)
  end

  @doc "Collects the garbage of all processes of a node."
  def collect(node),
    do: eval(node, "for pid <- Process.list(), do: :erlang.garbage_collect(pid)")

  @doc "How many handles and functions a node keeps for others, and holds of them."
  def handles(node), do: FreshVM.call(node.vm, Python.Remote.Handles, :count, [])

  @doc "Ends a node at once, as if its machine had failed."
  def kill(node) do
    pid = FreshVM.call(node.vm, System, :pid, [])
    {_, 0} = System.cmd("kill", ["-KILL", pid])
    :ok
  end

  @doc "Sends a signal to the process of a node: STOP, CONT. One that was stopped goes on when the test is over, so that it can end."
  def signal(os_pid, signal) do
    if signal == "STOP", do: ExUnit.Callbacks.on_exit(fn -> kill_with(os_pid, "CONT") end)
    {_, 0} = kill_with(os_pid, signal)
  end

  # It may be gone.
  defp kill_with(os_pid, signal),
    do: System.cmd("kill", ["-#{signal}", os_pid], stderr_to_stdout: true)

  defp args(number, port, cookie) do
    ~w(-name node#{number}@127.0.0.#{number} -setcookie #{cookie} -start_epmd false -erl_epmd_port #{port}
       -kernel inet_dist_use_interface {127,0,0,#{number}} -kernel prevent_overlapping_partitions false
       -kernel logger_level critical)
  end

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, @first})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    port
  end
end
