defmodule Python.Remote do
  @moduledoc false

  # Calls that run on another node: `pool: {name, node}`, and whatever is asked of a handle of that node. Erlang's
  # distribution carries them.
  #
  #     caller ──request──▶ its proxy on the other node ──▶ the pool there
  #     caller ◀──answer─── its proxy                   ◀──
  #
  # A process has one proxy (`Python.Remote.Proxy`) on each node that it calls. The proxy starts with its first call, and ends
  # with it, or when the connection does: then what it has asked of Python there is given up. The caller waits itself, as
  # for its own node, and monitors its proxy meanwhile.
  #
  # What cannot be sent as it is, handles and functions, crosses as a `Python.Remote.Reference` (`Python.Remote.Wire`), and is kept
  # alive by the node that it is from (`Python.Remote.Handles`).

  alias Python.{Async, Deadline, Home, NotStartedError, Object, Operation, Options, Request}
  alias Python.{StoppedError, TimeoutError}
  alias Python.Remote.{Feed, Handles, Proxy, Start, Watch, Wire}

  # What the messages mean. Nodes with another one do not understand each other.
  @protocol 1

  # What crosses as it is. Nodes whose structs have other fields do not understand each other either.
  @structs [Object, Options, Python.Remote.Reference, Python.Iterator, Python.Error]

  # How long a caller waits to be told where Python was, in ms.
  @listen 50

  # How long a consumer waits for a stream to be closed there, in ms.
  @close_timeout 1_000

  # How long the proxy may take to say that the time is over, which it does where the caller has no timeout of its own.
  @late 500

  @doc "What both nodes have to have in common, as text."
  @spec version() :: String.t()
  def version do
    fields = for module <- @structs, do: module.__struct__() |> Map.keys() |> Enum.sort()
    "#{@protocol}.#{:erlang.phash2(fields)}"
  end

  ## Calls

  @doc "Runs an operation on another node. `options` are those that hold there."
  @spec run(node, Operation.t(), Options.t()) :: Request.answer()
  def run(node, operation, options) do
    # Who has no timeout of its own is told by the proxy that the time is over.
    until = Deadline.in_ms(options.timeout || :infinity)

    with {:ok, asked} <- prepare(node, :run, operation, options),
         do: await_run(asked, until, true)
  end

  defp await_run(%{node: node, options: options} = asked, until, again) do
    with {:ok, reference, proxy} <- send_asked(asked) do
      receive do
        {^reference, answer} ->
          answer(answer, reference)

        {:DOWN, ^reference, _, _, :noproc} when again ->
          send_again(asked, until)

        {:DOWN, ^reference, _, _, reason} ->
          if reason == :noproc, do: Handles.release(asked.kept)
          down(reason, node)
      after
        Deadline.left(until) -> give_up(proxy, reference, options.timeout)
      end
    end
  end

  @doc "Sends a request to the proxy of this process, which is monitored until it has answered."
  @spec ask(node, atom, tuple, Options.t()) :: {:ok, reference, pid} | {:error, Exception.t()}
  def ask(node, kind, operation, options) do
    with {:ok, asked} <- prepare(node, kind, operation, options), do: send_asked(asked)
  end

  # A request, which can be sent to one proxy or another. `kept`: what is kept here for it.
  defp prepare(node, kind, operation, options) do
    with {:ok, known} <- proxy(node, options.timeout),
         {:ok, sendable, kept} <- encode(operation, node) do
      asked = %{node: node, proxy: known, kind: kind, sendable: sendable, kept: kept}
      {:ok, Map.put(asked, :options, options)}
    end
  end

  defp send_asked(%{node: node, proxy: {proxy, watch}, options: options} = asked) do
    reference = :erlang.monitor(:process, watch, alias: :reply_demonitor)
    leader = Process.group_leader()
    message = {:ask, asked.kind, reference, asked.sendable, options, leader}

    case Proxy.ask(proxy, message, options.timeout || :infinity) do
      :ok ->
        {:ok, reference, proxy}

      :timeout ->
        # If it has left all the same, this follows it.
        Proxy.tell_soon(proxy, {:cancel, reference, nil})
        with :pending <- forget(reference), do: Handles.release(asked.kept)
        {:error, TimeoutError.new(options.timeout, {:away, node})}
    end
  end

  # The proxy was gone before it could be asked.
  defp send_again(%{node: node} = asked, until) do
    put_proxy(node, nil)

    case proxy(node, asked.options.timeout) do
      {:ok, known} ->
        await_run(%{asked | proxy: known}, until, false)

      {:error, error} ->
        Handles.release(asked.kept)
        {:error, error}
    end
  end

  defp encode({:open, chunks, operation}, node) do
    with {:ok, {operation, references}, kept} <- Wire.encode(operation, node),
         do: {:ok, {{:open, chunks, operation}, references}, kept}
  end

  defp encode(operation, node), do: Wire.encode(operation, node)

  # It is started once for each connection, with which it goes; `watch`: a process here that goes with it.
  defp proxy(node, timeout) do
    with {_proxy, watch} = known <- Process.get({__MODULE__, node}),
         true <- Process.alive?(watch) do
      {:ok, known}
    else
      _ ->
        with {:ok, started} <- Start.start(node, timeout) do
          put_proxy(node, started)
          {:ok, started}
        end
    end
  end

  @doc "Has the requests of this process to a node go to another proxy from here on. The one before."
  @spec put_proxy(node, {pid, pid} | nil) :: {pid, pid} | nil
  def put_proxy(node, nil), do: Process.delete({__MODULE__, node})
  def put_proxy(node, proxy), do: Process.put({__MODULE__, node}, proxy)

  defp answer({:answer, answer, keeper}, reference),
    do: answer |> Wire.take(keeper, reference) |> Request.answer()

  # It has nothing of Python's in it.
  defp answer({:refused, error}, _reference), do: {:error, error}
  # A wrong argument, for instance.
  defp answer({:raised, error}, _reference), do: raise(error)

  @doc "The error for a proxy that has ended."
  @spec down(term, node) :: {:error, Exception.t()}
  def down(reason, node) do
    put_proxy(node, nil)
    {:error, lost(reason, node)}
  end

  defp lost(:noconnection, node), do: StoppedError.away(node, "the connection to it was lost")

  defp lost(:normal, node),
    do: StoppedError.away(node, "the function of Python.with/3 in which it was made has ended")

  defp lost(reason, node), do: StoppedError.away(node, Exception.format_exit(reason))

  defp give_up(proxy, reference, timeout) do
    case forget(reference) do
      {:answered, answer} -> answer(answer, reference)
      :pending -> {:error, TimeoutError.new(timeout, cancelled(proxy, reference))}
    end
  end

  @doc "From here on no answer comes to this reference."
  @spec forget(reference) :: {:answered, term} | :pending
  def forget(reference) do
    :erlang.unalias(reference)
    Process.demonitor(reference, [:flush])

    receive do
      {^reference, answer} -> {:answered, answer}
    after
      0 -> :pending
    end
  end

  # Cancels a request, and says where Python was.
  defp cancelled(proxy, reference) do
    listener = :erlang.alias([:reply])
    Proxy.tell_soon(proxy, {:cancel, reference, listener})

    receive do
      {^listener, location} -> location
    after
      @listen ->
        :erlang.unalias(listener)

        receive do
          {^listener, location} -> location
        after
          0 -> :none
        end
    end
  end

  @doc "A copy of an object of another node, where the options say."
  @spec fetch(Object.t(), Options.t()) :: {:ok, Object.t()} | {:error, Exception.t()}
  def fetch(object, options) do
    there = Home.options(%Options{timeout: options.timeout, return: :bytes}, object)

    with {:ok, %Python.Bytes{data: data}} <-
           Request.run(Operation.call("pickle", "dumps", [object], %{}), there) do
      loads = Operation.call("pickle", "loads", [Python.buffer(data)], %{})
      Request.run(loads, %{options | return: :object})
    end
  end

  ## Asynchronous calls

  @doc "Hands an operation in on another node, for the caller to wait for later."
  @spec submit(node, Operation.t(), Options.t()) :: {:ok, Async.t()} | {:error, Exception.t()}
  def submit(node, operation, options) do
    with {:ok, reference, proxy} <- ask(node, :submit, Python.Struct.encode(operation), options) do
      claims = :atomics.new(1, [])
      engine = {__MODULE__, proxy, claims}
      {:ok, %Async{ref: reference, ticket: reference, owner: self(), engine: engine}}
    end
  end

  @doc "As `Python.Request.await/2`."
  @spec await(Async.t(), timeout) :: Request.answer() | :claimed
  def await(%Async{ref: reference, engine: {_, proxy, claims}}, timeout) do
    if claim(claims) do
      receive do
        {^reference, answer} -> answer(answer, reference)
        {:DOWN, ^reference, _, _, reason} -> down(reason, node(proxy))
      after
        timeout -> give_up(proxy, reference, timeout)
      end
    else
      drop(proxy, reference)
      :claimed
    end
  end

  defp claim(claims), do: :atomics.exchange(claims, 1, 1) == 0

  # What comes, or has come, is taken by nobody.
  defp drop(proxy, reference) do
    case forget(reference) do
      {:answered, {:answer, _, keeper}} when keeper != nil ->
        Proxy.tell_soon(keeper, {:untaken, reference})

      {:answered, _} ->
        :ok

      :pending ->
        Proxy.tell_soon(proxy, {:cancel, reference, nil})
    end
  end

  @doc "As `Python.Request.send/2`."
  @spec send_to_request(Async.t(), term) :: :ok
  def send_to_request(%Async{ref: reference, engine: {_, proxy, _}}, message) do
    with {:ok, sendable, _kept} <- Wire.encode(message, node(proxy)) do
      Proxy.tell(proxy, {:send, reference, sendable})
    else
      {:error, error} -> raise error
    end
  end

  @doc "As `Python.Request.cancel/1`."
  @spec cancel(Async.t()) :: :ok
  def cancel(%Async{ref: reference, owner: owner, engine: {_, proxy, claims}}) do
    unclaimed = claim(claims)

    # The owner may be waiting this moment.
    if unclaimed and owner == self(),
      do: drop(proxy, reference),
      else: Proxy.tell_soon(proxy, {:abandon, reference})
  end

  ## Streams

  @typedoc "A stream that is open on another node: the process that reads it there, and how its chunks come here."
  @type stream :: %{
          feed: pid,
          monitor: reference,
          chunks: reference,
          begun: :atomics.atomics_ref()
        }

  @doc "Opens a stream on another node."
  @spec open(node, Operation.t(), Options.t()) :: {:ok, stream} | {:error, Exception.t()}
  def open(node, operation, options) do
    chunks = :erlang.alias()

    case run(node, {:open, chunks, operation}, options) do
      {:ok, feed} when is_pid(feed) ->
        monitor = Process.monitor(Watch.start(feed))
        begun = :atomics.new(1, [])
        {:ok, %{feed: feed, monitor: monitor, chunks: chunks, begun: begun}}

      {:error, error} ->
        :erlang.unalias(chunks)
        {:error, error}
    end
  end

  @doc "The next chunk, as `Python.Stream.chunk/2`."
  @spec chunk(stream, Options.t()) :: {:more | :done, list} | {:failed, list, Exception.t()}
  def chunk(%{chunks: chunks, monitor: monitor, feed: feed} = stream, options) do
    # As many are on their way as may be made ahead.
    first = :atomics.exchange(stream.begun, 1, 1) == 0
    Feed.credit(feed, if(first, do: 1 + min(options.prefetch, 1), else: 1))
    timeout = Request.timeout(options)

    receive do
      {^chunks, answer, keeper} ->
        Wire.take(answer, keeper, chunks)

      {:DOWN, ^monitor, _, _, :normal} ->
        {:done, []}

      {:DOWN, ^monitor, _, _, reason} ->
        {:failed, [], lost(reason, node(feed))}
    after
      # It says where Python was.
      if(timeout == :infinity, do: :infinity, else: timeout + @late) ->
        {:failed, [], TimeoutError.new(timeout, :none)}
    end
  end

  @doc "Closes a stream, and waits that long for it."
  @spec close(stream, timeout) :: :ok
  def close(%{chunks: chunks, monitor: monitor, feed: feed}, timeout) do
    :erlang.unalias(chunks)
    flush(chunks)
    Feed.close(feed)

    receive do
      {:DOWN, ^monitor, _, _, _} -> :ok
    after
      min(timeout, @close_timeout) -> Process.demonitor(monitor, [:flush])
    end

    :ok
  end

  # What was made ahead. The handles in it are let go of when the feed has ended.
  defp flush(chunks) do
    receive do
      {^chunks, _answer, _keeper} -> flush(chunks)
    after
      0 -> :ok
    end
  end

  ## Errors

  @doc "The error for a node that cannot be called."
  @spec unreachable(node, term) :: Exception.t()
  def unreachable(node, reason) do
    reason = if reason == :noconnection and not Node.alive?(), do: :notalive, else: reason
    {cause, remedy} = why(reason, node)
    NotStartedError.away(node, cause, remedy)
  end

  defp why(:noconnection, node) do
    {"there is no connection to it",
     "Check with Node.connect(#{inspect(node)}) that it runs, and that both have the same cookie."}
  end

  defp why(:notalive, _node) do
    {"this node has no name, so that it cannot reach others",
     "Start the VM with --name or --sname, or call Node.start/2."}
  end

  defp why({:version, theirs, ours}, _node) do
    {"it has another version of erlang_python (its protocol is #{theirs}, that of this node #{ours})",
     "Run the same version on both."}
  end

  defp why(:timeout, _node) do
    {"it does not answer", "See whether the machine is overloaded, or the connection is lost."}
  end

  defp why({:undef, _}, node) do
    {"it has no erlang_python, or another version of it",
     "Start the application :erlang_python on #{inspect(node)}, in the version that this node has."}
  end

  defp why(:not_started, node) do
    {"the application erlang_python is not started there",
     "Start it with :erpc.call(#{inspect(node)}, Application, :ensure_all_started, [:erlang_python])."}
  end

  defp why(reason, _node), do: {Exception.format_exit(reason), "See the log of that node."}
end
