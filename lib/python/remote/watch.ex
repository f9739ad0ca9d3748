defmodule Python.Remote.Watch do
  @moduledoc false

  # A process of this node that ends as one of another node does. Who monitors it need not send that node a signal for each
  # call, and is not held up by a connection that has much to carry.

  @doc "Starts one for a process."
  @spec start(pid) :: pid
  def start(pid) do
    spawn(fn ->
      monitor = Process.monitor(pid)

      receive do
        {:DOWN, ^monitor, _, _, reason} -> exit(reason)
      end
    end)
  end
end
