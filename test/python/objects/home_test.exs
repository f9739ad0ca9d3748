defmodule Python.Objects.HomeTest do
  # Whatever is asked of a handle runs in the pool or context that made it.

  use Python.EngineCase, async: true

  alias Python.{EncodeError, NotStartedError, Object, StoppedError}

  # An object that refuses to be asked on another thread than that of the context that made it, whatever it is
  # asked. A pool's thread may be any of the VM's dirty schedulers: there the pool counts what it was asked.
  @here """
  import threading

  class NAME:
      def __init__(self, pinned):
          self.pinned = pinned
          self.home = threading.get_ident()
          self.items = {}

      def _here(self):
          if self.pinned and threading.get_ident() != self.home:
              raise RuntimeError("on another thread")
          return True

      here = property(_here)

      def method(self): return self._here()
      def __getattr__(self, name):
          if name.startswith("_"): raise AttributeError(name)
          return self._here() and name
      def __setattr__(self, name, value):
          if name not in ("pinned", "home", "items"): self._here()
          self.__dict__[name] = value
      def __getitem__(self, key): return self._here() and self.items[key]
      def __setitem__(self, key, value):
          self._here()
          self.items[key] = value
      def __delitem__(self, key):
          self._here()
          del self.items[key]
      def __len__(self): return self._here() and 3
      def __str__(self): return self._here() and "text"
      def __repr__(self): return self._here() and "REPR"
      def __call__(self, n): return self._here() and n
      def __iter__(self):
          for n in range(3): yield self._here() and n
      def __enter__(self):
          self._here()
          return self
      def __exit__(self, *_error): self._here()
      def child(self): return NAME(self.pinned)
      def children(self): return [NAME(self.pinned), {"a": NAME(self.pinned)}]
      def stream(self):
          while True: yield NAME(self.pinned)
      def give(self, function): return function(self)
      def fail(self):
          error = ValueError("x")
          error.child = NAME(self.pinned)
          raise error
  """

  defp context do
    start_context()
  end

  defp places do
    context = context()
    name = String.to_atom(unique("Elixir.TestContext"))
    start_context(name: name)
    [[context: context], [context: context.pid], [context: name], [pool: start_pool()]]
  end

  defp made(place), do: made(define(@here, "Here"), place)

  defp made(class, place) do
    if place[:context], do: Python.exec!("import __main__", place)
    pinned = place[:context] != nil
    made(class, place, pinned, Python.Engines.in_vm?())
  end

  # Each process has a class of its own.
  defp made(class, place, pinned, false) do
    Python.exec!(String.replace(@here, "NAME", class), place)
    Python.eval!("#{class}(pinned)", %{pinned: pinned}, place)
  end

  defp made(class, place, pinned, true) do
    Python.eval!(
      "#{class}(pinned)",
      %{:pinned => pinned, class => Python.eval!(class, return: :object)},
      place
    )
  end

  defp everything(object, pool) do
    before = pool && Python.Pool.stats(pool).done
    ask(object)
    if pool, do: assert(Python.Pool.stats(pool).done - before > 25)
  end

  defp ask(object) do
    assert Python.call!(object, :method) == true
    assert Python.getattr!(object, :here) == true
    assert Python.getattr(object, :other) == {:ok, "other"}
    assert Python.setattr(object, :colour, "red") == :ok
    assert Python.setitem!(object, "a", 1) == :ok
    assert Python.getitem(object, "a") == {:ok, 1}
    assert object["a"] == 1
    assert object["b"] == nil
    assert {1, ^object} = pop_in(object["a"])
    assert ^object = put_in(object["c"], 2)
    assert Python.len!(object) == 3
    assert Python.str!(object) == "text"
    assert "#{object}" == "text"
    assert Python.repr!(object) == "REPR"
    assert inspect(object) =~ "REPR"
    assert Python.type(object) =~ "Here"
    assert Python.callable?(object)
    assert Python.apply!(object, [5]) == 5
    assert Python.map(object, :__call__, [[1], [2]]) == {:ok, [1, 2]}
    assert Enum.to_list(object) == [0, 1, 2]
    assert Enum.count(object) == 3
    assert object |> Stream.map(& &1) |> Enum.take(1) == [0]
    assert Python.stream(object, :__iter__) |> Enum.to_list() == [0, 1, 2]
    assert Python.await(Python.call_async(object, :method)) == {:ok, true}
    assert %Object{} = Python.to_term!(object)
    assert Python.with(object, fn entered -> Python.call!(entered, :method) end) == true
    assert :py.call_method(object, :method, []) == {:ok, true}
    assert :py.getattr(object, :here) == {:ok, true}
    assert :py.call(object, :method, []) == {:ok, true}
    assert :py.stream(object, :__iter__, []) == {:ok, [0, 1, 2]}
  end

  test "whatever is asked of it" do
    for place <- places(), do: everything(made(place), place[:pool])
  end

  test "what it gives has the same home: results, items, arguments of functions, errors" do
    for place <- places() do
      object = made(place)
      everything = &everything(&1, place[:pool])
      everything.(Python.call!(object, :child))
      assert [one, %{"a" => other}] = Python.call!(object, :children)
      everything.(one)
      everything.(other)
      assert [item] = Python.stream(object, :stream) |> Enum.take(1)
      everything.(item)
      test = self()
      give = fn argument -> send(test, {:argument, argument}) && 1 end
      assert Python.call!(object, :give, [give]) == 1
      assert_receive {:argument, argument}
      everything.(argument)
      {:error, error} = Python.call(object, :fail)
      everything.(Python.getattr!(error.value, :child))
      everything.(Python.to_object!(object, Keyword.take(place, [:context, :pool])))
    end
  end

  @tag engine: :main
  test "an option of the call names another place" do
    object = made(context: context())
    pool = start_pool()

    for place <- [[pool: pool], [context: context()], [pool: Python.Pool]] do
      assert {:error, %{message: "on another thread"}} = Python.call(object, :method, [], place)
      assert {:error, %{message: "on another thread"}} = Python.str(object, place)
      assert {:error, %{message: "on another thread"}} = Python.getattr(object, :a, place)
    end

    assert Python.Pool.stats(pool).failed == 3
    object = made(pool: pool)
    other = start_pool()
    assert Python.call!(object, :method, [], pool: other)
    assert Python.Pool.stats(other).done == 1
  end

  test "the functions on objects take a timeout, and a place" do
    pool = start_pool()

    slow =
      Python.eval!(
        "type('Slow', (), {n: lambda *_: time.sleep(5) for n in ('__len__', '__str__', '__getitem__', '__getattr__', '__repr__', '__setitem__', '__setattr__', '__call__')})()",
        %{time: Python.import!(:time)}
      )

    for ask <- [
          &Python.len(slow, &1),
          &Python.str(slow, &1),
          &Python.repr(slow, &1),
          &Python.getitem(slow, 1, &1),
          &Python.setitem(slow, 1, 2, &1),
          &Python.getattr(slow, :a, &1),
          &Python.setattr(slow, :a, 1, &1)
        ] do
      assert {:error, %Python.TimeoutError{}} = ask.(timeout: 10)
      assert_raise Python.TimeoutError, fn -> ask.(timeout: 10) |> elem(1) |> raise() end
      assert_raise ArgumentError, fn -> ask.(nope: 1) end
    end

    assert %Object{home: ^pool} = Python.import!(:json, pool: pool)
    assert %Object{home: ^pool} = Python.to_object!([1], pool: pool)
    assert %Object{} = Python.getattr!(Python.import!(:math), :pi, return: :object)
    assert_raise ArgumentError, fn -> Python.len(slow, return: :object) end
  end

  test "a thread that its code started makes handles of the same home" do
    pool = start_pool()
    test = self()
    give = fn argument -> send(test, {:argument, argument}) && nil end

    code = """
    import threading
    def NAME(f):
        t = threading.Thread(target=lambda: f(object()))
        t.start()
        t.join()
    """

    Python.call!(:__main__, define(code), [give], pool: pool)
    assert_receive {:argument, %Object{home: ^pool}}
  end

  test "where the home has stopped there is an error that says so" do
    pool = start_pool()
    context = context()
    of_pool = Python.eval!("object()", pool: pool)
    of_context = Python.eval!("object()", context: context)
    stop_supervised!(pool)
    :ok = Python.Context.stop(context)

    for {object, home} <- [{of_pool, inspect(pool)}, {of_context, inspect(context.pid)}] do
      assert {:error, %StoppedError{reason: :closed} = error} = Python.str(object)
      assert error.message =~ home
      assert {:error, %StoppedError{}} = Python.call(object, :__repr__)
      assert_raise StoppedError, fn -> Enum.to_list(object) end
      assert inspect(object) =~ "#Python.Object<#Reference<"
      # The interpreter is the same, if it is the VM's.
      elsewhere = Python.str(object, pool: Python.Pool)

      if Python.Engines.in_vm?(),
        do: assert({:ok, "<object object" <> _} = elsewhere),
        else: assert({:error, %StoppedError{reason: :worker_down}} = elsewhere)
    end

    # The pool that was started again is the home again.
    start_pool(name: pool)
    again = Python.str(of_pool)

    if Python.Engines.in_vm?(),
      do: assert({:ok, "<object object" <> _} = again),
      else: assert({:error, %StoppedError{reason: :worker_down}} = again)
  end

  # As it arrives there: the name of this node is that of another one.
  defp elsewhere(term) do
    binary = :erlang.term_to_binary(term)
    assert Atom.to_string(node()) == "nonode@nohost"
    binary |> String.replace("nonode@nohost", "other1@place2") |> :erlang.binary_to_term()
  end

  test "of another node, it names the node" do
    object = elsewhere(Python.to_object!([1]))

    # It is asked there.
    for {:error, error} <- [
          Python.str(object),
          Python.call(object, :copy),
          Python.getitem(object, 0),
          Python.to_term(object),
          Python.apply(object, [])
        ] do
      assert %NotStartedError{} = error
      assert error.message =~ "other1@place2"
    end

    for {:error, error} <- [
          Python.call(:builtins, :len, [object]),
          Python.eval("x", %{x: [object]}),
          Python.call(object, :copy, [], pool: Python.Pool)
        ] do
      assert %EncodeError{} = error
      assert error.message =~ "other1@place2"
    end

    assert_raise NotStartedError, ~r/other1@place2/, fn -> Enum.to_list(object) end
    assert_raise NotStartedError, ~r/other1@place2/, fn -> object["a"] end
    assert_raise NotStartedError, ~r/other1@place2/, fn -> "#{object}" end
    assert inspect(object) =~ "#Python.Object<"

    assert {:error, error} = Python.eval("1", context: elsewhere(context()))
    assert Exception.message(error) =~ "other1@place2"

    stream = elsewhere(Python.stream(:builtins, :range, [3]))
    assert_raise NotStartedError, ~r/other1@place2/, fn -> Enum.to_list(stream) end
  end
end
