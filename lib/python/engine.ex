defmodule Python.Engine do
  @moduledoc false

  # What runs Python for a pool or a context. This file says all that a new engine has to provide.
  #
  # An engine is a module with this behaviour. To add one, write the module and name it in `@engines`; no file of
  # another engine changes. Pools, contexts, requests, streams and bodies of `with` are the same for all engines,
  # and ask the engine for what it alone can do:
  #
  #     Python → Python.Pool, Context, Stream, Hold → Python.Request → the engine → its native code
  #
  # ## Who runs what
  #
  #   * A pool's process (`Python.Pool`, `Python.Context`) starts the engine's pool and its workers, and replaces
  #     workers that end. It sees no request.
  #   * The caller hands a request in, waits for the answer in a `receive` of its own, and looks at the clock.
  #     Nothing that a caller calls here may wait, but for `c:run/4`.
  #   * The engine sends answers to the caller, `{reference, answer}`, at most one for each reference. None comes
  #     after `c:cancel/2` has said `:queued` or `:running`, but for the location.
  #   * A caller that dies takes its request with it: the engine notices by itself (flag 4), without `c:watch/2`.
  #
  # ## Messages that an engine sends
  #
  # | to | message | when |
  # |---|---|---|
  # | the caller | `{reference, answer}` | a request is done, see `t:answer/0` |
  # | the caller | `{reference, {:location, location}}` | after `c:cancel/2`, see there |
  # | the caller | `{reference, {:held, callback, object}}` | the operation calls `erlang._object.hold`: the manager was entered, and waits for the body of a `with` |
  # | the consumer of a stream | `{reference, answer}` | see `c:stream_demand/3` and `c:stream_close/3` |
  # | the process of `c:callback_serve/1` | `{:callback, callback, target, args, kwargs, {caller, group_leader}}` | Python calls Elixir, see `t:target/0` |
  # | the process of `c:callback_serve/1` | `{:forward, pid, message}` | `erlang.send`, where the engine cannot send it |
  # | the pool's process | `{:worker_stuck, id}` | a worker is held up by a call that was given up: it takes no more, and another one is to be started |
  # | the pool's process | `{:worker_leaves, pid}` | the worker that this process looks after takes no more, as it has run enough |
  #
  # An `:EXIT` of a worker's process says the same. Workers are linked to the pool's process.
  #
  # ## Values and handles
  #
  # Arguments and results are converted as the documentation of `Python` says. What has no row there is a handle,
  # `%Python.Object{ref: reference, home: home}`: the reference is the engine's own, and when nobody has it any more,
  # the object is released. The home is the pool's name, or the context's process. What the functions on objects ask
  # (`Python.getattr/3`, `with`, …) are calls of modules in priv/python/erlang, such as `erlang._object`, so the
  # engine's Python has to have these.

  @typedoc "A pool or a context, as the engine knows it. It lives as long as the process that started it."
  @type pool :: term

  @type kind :: :pool | :context

  @typedoc "The options of a pool or context, checked, with all that are declared by `c:options/1`."
  @type options :: %{optional(atom) => term}

  @typedoc """
  What a caller has of its request. It is a reference; when nobody has it any more, a request with the flag 4
  is given up.
  """
  @type ticket :: reference

  @typedoc """
  What is asked of Python, a tuple that `Python.Operation` makes:

    * `{:call, target, name, args, kwargs}` - the target is a module's name or the reference of a handle, the name
      a path of attributes, or `nil` for the target itself
    * `{:map, target, name, list_of_args, kwargs}` - a list of results; an error names its index
    * `{:eval, code, vars, place}` and `{:exec, code, place}`
    * `{:convert, value}` - the value itself, as the flags want it returned
    * `{:describe, reference, limit}` - `{class, repr}` of a handle, the latter cut to so many characters
    * `{:stream, max_chunk, max_wait, prefetch, source}` - the value is a stream; the source is a `:call` or `:eval`
  """
  @type operation :: tuple

  @typedoc """
  A sum of

  | | |
  |---|---|
  | 1 | the value is a handle, `%Python.Object{}` |
  | 2 | the caller speaks Erlang: `None` is `none` |
  | 4 | the request ends when its ticket is gone |
  | 8 | the value's `bytes` are `%Python.Bytes{}` |
  | 32 | it is the `:init` of its pool or context, and comes before all others |
  | 64, 128 | an error keeps the variables of its frames, or lets go of them, whatever the pool says |
  | 65536 and more | the option `:decode`, see `Python.Decode` |
  """
  @type flags :: non_neg_integer

  @typedoc "`:ok` is the answer of an `:exec`."
  @type answer :: :ok | {:ok, term} | {:error, reason}

  @typedoc """
  Why there is no value. `Python.Request.error/1` makes the exception of it.

    * `{:exception, chain}` - an exception of Python's, see `Python.Error.from_native/1`
    * `{:encode_struct, reason, place, path}` - an argument is a struct that the engine does not know. Nothing has
      run yet, and the request is handed in again when `Python.Encoder` has replaced it
    * `{:encode, reason, place, path}`, `{:decode, reason, path}` - a value that cannot be converted
    * `{:error, index, reason}` - the same, for one call of a `:map`
    * `{:timed_out, timeout, ran}` - after `c:limit/2`
    * `:cancelled` - after `c:abandon/1`
    * `:closed`, `:stopped`, `:worker_down` - the pool has ended, before or while it ran; the worker has died
    * `:no_memory`, `{:no_thread, text}`, `{:bad_request, text}`
    * `{:crashed, signal, exit_status, traceback}` - the process that ran it has ended, see `Python.CrashedError`
    * `{:not_started, reason}` - there is no process to run it, see `Python.Engine.Process.NotStarted`
  """
  @type reason :: atom | tuple

  @type refusal :: :overloaded | :closed

  @typedoc """
  Where Python code is. `:none`: in no Python code, or not to be found out. Of an engine whose code and files are
  not the VM's, with the text of the line.
  """
  @type location ::
          {file :: String.t(), line :: pos_integer, function :: String.t()}
          | {file :: String.t(), line :: pos_integer, function :: String.t(),
             code :: String.t() | nil}
          | :none

  @typedoc "How far a request was."
  @type progress :: :queued | :running | :answered

  @typedoc "An iterator of Python's, for its one consumer. It is closed when nobody has it any more."
  @type stream :: term

  @typedoc """
  A call of Elixir's that Python waits for, or the body of a `with`. Python does not wait any longer when nobody
  has it any more.
  """
  @type callback :: term

  @typedoc """
  The callbacks and bodies that a process is in, the innermost first, each with its engine. Of another engine's, it can
  be asked whether they are over: `c:callback_answered?/1`.
  """
  @type callbacks :: [{module, callback}]

  @typedoc """
  What Python calls: a function that it was given, a registered one by its name, or a part of the VM, with the
  arguments that `Python.Callback` has for it. That is how `print`, `input` and `logging` reach the caller's group
  leader and the log.
  """
  @type target ::
          fun
          | String.t()
          | {:device, :stdout | :stderr | :stdin | :terminal | :log | :function}

  @type stats :: %{
          busy: non_neg_integer,
          queued: non_neg_integer,
          done: non_neg_integer,
          failed: non_neg_integer,
          timed_out: non_neg_integer,
          stuck: non_neg_integer
        }

  @typedoc """
  A worker: its process, if it is one of the operating system; whether it is at work; how many requests it has begun,
  those for chunks of streams among them; how much memory it has, in bytes, if that is its own.
  """
  @type worker :: %{
          os_pid: pos_integer | nil,
          busy: boolean,
          calls: non_neg_integer,
          memory: non_neg_integer | nil
        }

  ## The engine itself

  @doc "Whether it can run anything: `:ok`, or the reason that calls are to get."
  @callback status() :: :ok | {:error, Exception.t()}

  @doc """
  Gets ready to run something, before a pool or a context of it starts: `:ok`, or the reason that calls are to get. It may
  take its time the first time. Nothing of an engine is loaded before it is needed.
  """
  @callback prepare() :: :ok | {:error, Exception.t()}

  @doc "Whether it is ready."
  @callback prepared?() :: boolean

  @doc """
  The options that its pools or contexts have, beside or in place of the common ones. They are validated, and
  documented, from what is declared here.
  """
  @callback options(kind) :: Python.Schema.t()

  @doc """
  Whether a handle of one of its pools can be used in all of them. Then what is asked of it in the body of a `with`
  runs where the body is.
  """
  @callback shares_handles?() :: boolean

  ## Pools and contexts

  @doc """
  Makes a pool or a context, which belongs to the calling process and ends with it. A context has a namespace and
  one worker of its own. Handles bear the `:name` of their pool as `:home`, or the context's process.

  With an `:init`, requests wait until `c:open/1`, but for those with the flag 32. The pool's process runs it once;
  an engine whose workers have modules of their own runs it in each of the others itself.
  """
  @callback start(kind, options) :: {:ok, pool} | {:error, reason}

  @doc "The `:init` is done: lets run what waits. Is also called without an `:init`."
  @callback open(pool) :: :ok

  @doc """
  Refuses further requests with `:closed`, answers those that wait with `{:error, :closed}` and those that run,
  which are interrupted, with `{:error, :stopped}`.
  """
  @callback stop(pool) :: :ok

  @doc """
  Starts a worker, in the pool's process. `id` is what `{:worker_stuck, id}` has. The result is a process that is
  linked to the caller, or `nil` for a worker that is none. After an error, the pool tries again a little later.
  """
  @callback start_worker(pool, kind, id :: pos_integer) :: {:ok, pid | nil} | {:error, reason}

  @doc """
  The context of a process, with its default timeout, without asking that process. Nil if it is none of this
  engine's, or has ended.
  """
  @callback context(pid) :: {pool, timeout} | nil

  @doc "What is going on, and what has been done since the pool started. It does not wait."
  @callback stats(pool) :: stats

  @doc "What the workers do, one element for each that counts. It does not wait."
  @callback workers(pool) :: [worker]

  @doc "How many workers it has, and whether any of them has started. It does not wait."
  @callback count_workers(pool) :: {non_neg_integer, started? :: boolean}

  @doc "The calls that were given up and are still at work: where, and since when, in ms."
  @callback stuck(pool) :: [{location, ms :: non_neg_integer}]

  @doc "Whether calls are refused because too many are stuck (`:max_stuck`)."
  @callback jammed?(pool) :: boolean

  @doc "Puts a message where code in a context can receive it, with `erlang.receive`."
  @callback send_to_pool(pool, message :: term) :: :ok

  ## Requests

  @doc """
  Hands a request in, for the calling process. `{reference, answer}` follows, unless it is refused. With the flag 4 the
  answer may come at once, as `{answer}`. With the flag 1024 nothing may be handed in, and `:here` says that the caller
  had better call `c:run/4`. `leader` is the group leader for what it prints, `timeout` how long the
  caller waits.
  """
  @callback submit(pool, reference, flags, operation, leader :: pid, timeout) ::
              ticket | {answer} | :here | refusal

  @doc """
  The same for a process that is in callbacks or bodies of `with`. If one of them is of this pool, the thread or
  process that waits for it runs the request, so that nesting needs no second worker. The request ends with those
  that the callbacks are for.
  """
  @callback submit_nested(
              callbacks,
              pool,
              reference,
              {flags, timeout},
              operation,
              leader :: pid
            ) :: ticket | refusal

  @doc """
  Runs a request that has no deadline in the calling process, which waits: its answer. `:busy` if the pool's
  workers do that better; an engine may say so always.
  """
  @callback run(pool, flags, operation, leader :: pid) :: answer | :busy

  @doc """
  Gives a request up, and interrupts it if it runs. With `:answered`, the answer is in the mailbox or about to be.
  With `:running`, a caller that `listens` gets `{reference, {:location, location}}`, soon or never.
  """
  @callback cancel(ticket, listens :: boolean) :: progress

  @doc "Stops listening for the location. False if it is in the mailbox already, or about to be."
  @callback stop_listening(ticket) :: boolean

  @doc "Limits the time until the answer, from now on, in ms. Then the answer is `{:error, {:timed_out, …}}`."
  @callback limit(ticket, timeout :: non_neg_integer) :: :ok

  @doc "Gives a request up if it is not over in so many ms, and tells nobody."
  @callback expire(ticket, timeout :: non_neg_integer) :: :ok

  @doc "Claims the answer. True the first time only: an answer can be waited for once."
  @callback claim(ticket) :: boolean

  @doc "Ties a request to the life of its owner, for tickets that others may have."
  @callback watch(ticket, owner :: pid) :: :ok

  @doc "Gives a request up for another process, which waits and gets `{:error, :cancelled}`."
  @callback abandon(ticket) :: :ok

  @doc "Puts a message where the request's code can receive it, with `erlang.receive`."
  @callback send_to_request(ticket, message :: term) :: :ok

  ## Streams

  @doc """
  Asks for the next chunk. `:coming`: the answer follows, `{:ok, {:more | :done, items}}`, `{:ok, {:failed, items,
  reason}}` or `{:error, reason}`. `:ended`: there is none.

  A chunk ends at `max_chunk` items, or at the first one that is made `max_wait` ms after the chunk was begun.
  The first ones may end earlier.
  """
  @callback stream_demand(stream, reference, callbacks) :: :coming | :ended | refusal

  @doc """
  Asks for the items that there are of the chunk that was demanded. `:sent`: the answer is there; `:early`: it was
  not begun `max_wait` ms ago; `:empty`: there are none.
  """
  @callback stream_flush(stream) :: :sent | :early | :empty

  @doc "Gives up the chunk that was demanded, as `c:cancel/2` with `listens`."
  @callback stream_cancel(stream) :: progress

  @doc "As `c:stop_listening/1`, for the place of a stream and for the end of its closing."
  @callback stream_stop_listening(stream) :: boolean

  @doc "Closes the iterator. True if it is closed; else `{reference, {:ok, :closed}}` follows when it is."
  @callback stream_close(stream, reference, callbacks) :: boolean

  ## Callbacks

  @doc """
  The calling process is the one that callbacks are sent to. `registered`: the names of functions, each with the
  `Python.Function` that it was registered as, or nil.
  """
  @callback callback_serve(registered :: [{String.t(), Python.Function.t() | nil}]) :: :ok

  @doc "Makes a registered function known. False if the Python package has something else by this name."
  @callback callback_register(String.t(), Python.Function.t() | nil) :: boolean

  @callback callback_unregister(String.t()) :: :ok

  @doc "The calling process will answer. If it ends before, Python is told."
  @callback callback_accept(callback) :: :ok

  @doc "Whether it needs no answer any more."
  @callback callback_answered?(callback) :: boolean

  @doc "Something to be held: when nobody holds it any more, the process gets the message `:dropped`."
  @callback guard(pid) :: reference

  @doc """
  Answers `{:ok, value}` or `{:error, {kind, type, text, stacktrace, original}}`, see `Python.Callback.raised/3`.
  False if nobody waits any more.
  """
  @callback callback_answer(callback, {:ok, term} | {:error, tuple}) :: boolean

  ## Which engines there are

  @engines %{
    main: Python.Engine.Main,
    process: Python.Engine.Process,
    asyncio: Python.Engine.Asyncio
  }

  @doc "The modules of all engines that are known by a name."
  @spec all() :: [module]
  def all, do: Map.values(@engines)

  @doc "All engines by their names."
  @spec named() :: %{atom => module}
  def named, do: @engines

  @doc "The names of all engines."
  @spec names() :: [atom]
  def names, do: Map.keys(@engines)

  @doc "The module for the value of the option `:engine`, a name. For experiments, it may be a module itself."
  @spec fetch(term) :: {:ok, module} | :error
  def fetch(name) when is_map_key(@engines, name), do: Map.fetch(@engines, name)

  def fetch(module) when is_atom(module) do
    with {:module, module} <- Code.ensure_loaded(module),
         behaviours = Keyword.get_values(module.module_info(:attributes), :behaviour),
         true <- __MODULE__ in Enum.concat(behaviours) do
      {:ok, module}
    else
      _ -> :error
    end
  end

  def fetch(_other), do: :error

  @doc "The module of an engine that there is."
  @spec module(atom) :: module
  def module(name) do
    {:ok, module} = fetch(name)
    module
  end

  # Each call passes through one of these. A call of a module that is only known when the code runs costs 15 ns
  # more than one of a module that stands there.
  for {name, arity} <- [submit: 6, run: 4] do
    arguments = Macro.generate_arguments(arity, __MODULE__)

    @doc "Calls the engine's callback of this name."
    @spec unquote(name)(module, unquote_splicing(List.duplicate({:term, [], []}, arity))) :: term
    for engine <- Map.values(@engines) do
      def unquote(name)(unquote(engine), unquote_splicing(arguments)),
        do: unquote(engine).unquote(name)(unquote_splicing(arguments))
    end

    def unquote(name)(engine, unquote_splicing(arguments)),
      do: engine.unquote(name)(unquote_splicing(arguments))
  end

  @doc "The context of a process, with its engine and its default timeout, or nil."
  @spec context(pid) :: {module, pool, timeout} | nil
  def context(pid) do
    Enum.find_value(all(), fn engine ->
      with {pool, timeout} <- engine.context(pid), do: {engine, pool, timeout}
    end)
  end

  @doc "Has an engine get ready, and know the process that its callbacks are sent to."
  @spec prepare(module) :: :ok | {:error, Exception.t()}
  def prepare(engine) do
    with :ok <- engine.prepare(), do: Python.Callback.serve(engine)
  end

  @doc "Something to be held: when nobody holds it any more, `pid` gets the message `:dropped`."
  @spec guard(pid) :: reference
  def guard(pid) do
    # Any engine's will do.
    case Enum.find(all(), & &1.prepared?()) do
      nil ->
        engine = module(Python.Settings.read!().engine)
        with {:error, error} <- prepare(engine), do: raise(error)
        engine.guard(pid)

      engine ->
        engine.guard(pid)
    end
  end

  @doc "Whether any engine can run anything: `:ok`, or the reason of the one that the default pool has."
  @spec any_status() :: :ok | {:error, Exception.t()}
  def any_status do
    if Enum.any?(all(), & &1.prepared?()),
      do: :ok,
      else: module(Python.Settings.read!().engine).status()
  end
end
