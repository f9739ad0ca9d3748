defmodule Python.OverloadedError do
  @moduledoc """
  A pool's queue is full: as many calls wait as its `:max_queue` allows.

  Nothing was run. Try later, or give the pool more workers or a longer queue.

      iex> {:ok, _pid} = Python.Pool.start_link(name: MyApp.Narrow, size: 1, max_queue: 1)
      iex> for _ <- 1..3, do: Python.call_async(:time, :sleep, [1], pool: MyApp.Narrow)
      ** (Python.OverloadedError) the queue of the pool MyApp.Narrow is full; try later, or raise its :size or :max_queue

  ## Fields

    * `:pool` - the pool's name;
    * `:message` - a sentence.
  """

  @type t :: %__MODULE__{pool: atom, message: String.t()}

  defexception [:pool, :message]

  @doc false
  def new(pool) do
    %__MODULE__{
      pool: pool,
      message:
        "the queue of the pool #{inspect(pool)} is full; try later, or raise its :size or " <>
          ":max_queue"
    }
  end
end
