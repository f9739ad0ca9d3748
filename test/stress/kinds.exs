defmodule Stress.Kinds do
  # How often what is done.

  # {weight in a quick, in a mixed, in a hostile phase}
  @kinds [
    echo: {400, 60, 20},
    eval: {100, 20, 5},
    work: {20, 20, 10},
    nap: {5, 20, 10},
    fail: {40, 20, 10},
    data: {20, 5, 2},
    map: {20, 10, 3},
    map_fails: {10, 5, 3},
    handle: {60, 30, 10},
    stream: {20, 15, 8},
    stream_halted: {20, 15, 10},
    stream_fails: {10, 5, 3},
    stream_killed: {0, 5, 10},
    stream_timeout: {0, 3, 5},
    callback: {20, 15, 5},
    callback_given_up: {0, 5, 10},
    locks: {5, 5, 5},
    async: {40, 30, 10},
    async_cancelled: {20, 20, 20},
    async_owner_killed: {0, 10, 20},
    async_timeout: {0, 10, 15},
    async_not_owner: {5, 2, 1},
    timeout_spin: {0, 5, 15},
    timeout_race: {10, 30, 40},
    timeout_guarded: {0, 10, 20},
    timeout_stubborn: {0, 2, 5},
    timeout_locks: {0, 3, 5},
    timeout_in_c: {0, 1, 2},
    timeout_blocked: {0, 1, 3},
    killed: {0, 20, 40},
    overload: {5, 5, 5},
    context: {0, 3, 5},
    context_killed: {0, 2, 4},
    pool_stopped: {0, 1, 2},
    worker_killed: {0, 1, 3},
    stream_finalizers: {10, 10, 10},
    traced: {0, 2, 5},
    reload: {5, 5, 5},
    native_reload: {1, 1, 1},
    variables: {10, 10, 10},
    with: {5, 5, 5},
    context_objects: {0, 2, 4}
  ]

  @state [
    :stream_finalizers,
    :traced,
    :reload,
    :native_reload,
    :variables,
    :with,
    :context_objects
  ]
  @churn [:context, :context_killed, :pool_stopped, :worker_killed]

  def names, do: Keyword.keys(@kinds)

  @doc "The kinds of a phase, as often as their weight says; `only` these if there are any."
  def of(phase, only) do
    at = Enum.find_index([:quick, :mixed, :hostile], &(&1 == phase))

    for {kind, weights} <- @kinds,
        only == [] or kind in only,
        _ <- 1..weight(weights, at, only)//1,
        do: kind
  end

  defp weight(weights, at, []), do: elem(weights, at)
  defp weight(weights, _at, _only), do: weights |> Tuple.to_list() |> Enum.max()

  def run(kind, number) when kind in @churn, do: Stress.Churn.run(kind, number)
  def run(kind, number) when kind in @state, do: Stress.State.run(kind, number)
  def run(kind, number), do: Stress.Operations.run(kind, number)
end
