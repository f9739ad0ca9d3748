defmodule Python.With.KilledTest do
  # Callers of Python.with that die, in whatever they wait for: entering, the body, leaving.

  use Python.EngineCase, async: true

  alias Python.TimeoutError

  setup_all do: Python.SupportModules.find()

  # With its own time the body has a process of its own.
  @times [[], [timeout: 60_000]]

  defp places do
    context = start_context(timeout: :infinity)

    [
      [pool: start_pool(size: 2, timeout: :infinity)],
      [context: context]
    ]
  end

  defp door(place, entering, leaving, function \\ nil, name \\ "") do
    arguments = [self(), entering, leaving, function, name]
    Python.call!(:doors, :Door, arguments, [return: :object] ++ place)
  end

  # It is killed as soon as `at` is told.
  defp kill(door, time, at) do
    test = self()

    caller =
      spawn(fn ->
        Python.with(
          door,
          fn _ ->
            send(test, "body")
            if at == "body", do: Process.sleep(:infinity)
          end,
          time
        )
      end)

    assert_receive ^at, 10_000
    Process.exit(caller, :kill)
  end

  defp eventually_free(place) do
    if pool = place[:pool], do: eventually_idle(pool)
    assert Python.eval("1", %{}, [timeout: 10_000] ++ place) == {:ok, 1}
  end

  # A manager that was entered is left, and takes its time for that.
  defp assert_left(entering, killed_at) do
    for place <- places(), time <- @times do
      door = door(place, entering, "linger")
      kill(door, time, killed_at)
      assert_receive "left", 10_000
      eventually_free(place)
      assert Python.getattr!(door, :log) == ["entering", "entered", "leaving", "left"]
      forget()
    end
  end

  defp forget do
    receive do
      text when is_binary(text) -> forget()
    after
      0 -> :ok
    end
  end

  test "while the manager is entered: that is ended, and the worker is free" do
    for place <- places(), time <- @times, entering <- ["spin", "doze"] do
      door = door(place, entering, "pass_by")
      kill(door, time, "entering")
      eventually_free(place)
      # As in Python: what was not entered is not left.
      assert Python.getattr!(door, :log) == ["entering"]
      forget()
    end
  end

  test "while entering waits for Elixir" do
    for place <- places(), time <- @times do
      test = self()

      waits = fn ->
        send(test, {:function, self()})
        Process.sleep(:infinity)
      end

      unless Python.Engines.current() == :asyncio do
        door = door(place, "ask", "pass_by", waits)
        kill(door, time, "entering")
        eventually_free(place)
        assert Python.getattr!(door, :log) == ["entering"]
      end

      forget()
    end
  end

  test "while the manager is entered, which catches the interrupt: it is left, too" do
    assert_left("stay", "entering")
  end

  test "in the body: the manager is left, and has the time for that" do
    assert_left("pass_by", "body")
  end

  test "in the body: leaving that never ends is ended" do
    for place <- places(), {time, leaving} <- Enum.zip(@times, ["spin", "doze"]) do
      door = door(place, "pass_by", leaving)
      kill(door, time, "body")
      assert_receive "leaving", 10_000
      eventually_free(place)
      assert Python.getattr!(door, :log) == ["entering", "entered", "leaving"]
      forget()
    end
  end

  test "while the manager is left: it is, and then the worker is free" do
    assert_left("pass_by", "leaving")
  end

  test "while the manager is left, which never ends: that is ended" do
    for place <- places(), {time, leaving} <- Enum.zip(@times, ["spin", "doze"]) do
      door = door(place, "pass_by", leaving)
      kill(door, time, "leaving")
      eventually_free(place)
      assert Python.getattr!(door, :log) == ["entering", "entered", "leaving"]
      forget()
    end
  end

  test "in bodies within bodies, while the inner manager is entered or left" do
    cases = [{["doze", "pass_by"], "entering"}, {["pass_by", "doze"], "leaving"}]

    for place <- places(), {time, {ways, at}} <- Enum.zip(@times, cases) do
      outer = door(place, "pass_by", "linger")
      [entering, leaving] = ways
      inner = door(place, entering, leaving, nil, "inner ")
      body = fn _ -> Python.with(inner, fn _ -> :ok end) end
      caller = spawn(fn -> Python.with(outer, body, time) end)
      told = "inner " <> at
      assert_receive ^told, 10_000
      Process.exit(caller, :kill)

      eventually("the outer one is left", fn ->
        Python.getattr!(outer, :log) == ["entering", "entered", "leaving", "left"]
      end)

      eventually_free(place)
      assert List.last(Python.getattr!(inner, :log)) == at
      forget()
    end
  end

  test "its timeout ends entering and leaving that never end, too" do
    for place <- places(),
        ways <- [["doze", "pass_by"], ["pass_by", "doze"], ["spin", "pass_by"]] do
      [entering, leaving] = ways
      door = door(place, entering, leaving)
      assert_raise TimeoutError, fn -> Python.with(door, fn _ -> :ok end, timeout: 300) end
      eventually_free(place)
      forget()
    end
  end

  @tag engine: :main
  test "in a function in C that nothing interrupts: another worker takes the place" do
    pool = start_pool(timeout: :infinity)
    kill(door([pool: pool], "hang", "pass_by"), [], "entering")
    assert Python.eval("1", %{}, pool: pool, timeout: 3_000) == {:ok, 1}
    kill(door([pool: pool], "pass_by", "hang"), [], "leaving")
    assert Python.eval("1", %{}, pool: pool, timeout: 3_000) == {:ok, 1}
  end

  test "many at once, wherever they are" do
    pool = start_pool(size: 4, timeout: :infinity)

    ways =
      for entering <- ["pass_by", "linger", "doze"],
          leaving <- ["pass_by", "linger", "doze"],
          do: {entering, leaving}

    doors = for {entering, leaving} <- ways, _ <- 1..2, do: door([pool: pool], entering, leaving)

    callers =
      for {door, n} <- Enum.with_index(doors) do
        time = Enum.at(@times, rem(n, 2))
        spawn(fn -> Python.with(door, fn _ -> Process.sleep(5) end, time) end)
      end

    for {caller, n} <- Enum.with_index(Enum.shuffle(callers)) do
      Process.sleep(n)
      Process.exit(caller, :kill)
    end

    eventually_idle(pool)
    assert Python.eval!("1", %{}, pool: pool) == 1
    forget()
  end
end
