defmodule Bench.Far do
  @moduledoc false

  # Another node on this machine. No daemon has to know its port: both have the same one, each on an address of its own.
  # The VM is to be started with ELIXIR_ERL_OPTIONS="-start_epmd false -erl_epmd_port 43210".

  @doc "Whether this VM can have one."
  def possible?, do: match?({:ok, [[_port]]}, :init.get_argument(:erl_epmd_port))

  @doc "Starts it, with these settings, and connects it: `%{vm: pid, node: node}`. It ends with the calling process."
  def start(settings \\ []) do
    {:ok, [[port]]} = :init.get_argument(:erl_epmd_port)
    Application.put_env(:kernel, :inet_dist_use_interface, {127, 0, 0, 2})
    unless Node.alive?(), do: {:ok, _} = Node.start(:"near@127.0.0.2", :longnames)

    args =
      ~w(-start_epmd false -erl_epmd_port #{port} -setcookie #{:erlang.get_cookie()} -name far@127.0.0.3
         -kernel inet_dist_use_interface {127,0,0,3} -kernel prevent_overlapping_partitions false -kernel logger_level critical)

    paths = for path <- :code.get_path(), argument <- ["-pa", Path.expand(path)], do: argument
    args = Enum.map(args ++ paths, &to_charlist/1)
    {:ok, vm, node} = :peer.start_link(%{connection: {{127, 0, 0, 1}, 0}, args: args})
    far = %{vm: vm, node: node}

    for {key, value} <- settings,
        do: call(far, Application, :put_env, [:erlang_python, key, value])

    {:ok, _} = call(far, Application, :ensure_all_started, [:erlang_python])
    connect(far)
    far
  end

  @doc "Calls a function there, whether it is connected or not."
  def call(far, module, function, arguments),
    do: :peer.call(far.vm, module, function, arguments, 60_000)

  def connect(far), do: true = Node.connect(far.node)

  def stop(far), do: :peer.stop(far.vm)
end
