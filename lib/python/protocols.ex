# Implementations of the protocols of packages that users may have, for Python.Object and Python.Stream.
#
# A package that is there before this one is compiled is implemented the usual way. For one that
# comes later (it was added to a project that had been compiled, or a checkout of this one comes first
# in a list of path dependencies), nothing would ever be compiled again. So then the modules are
# written out as `defimpl` makes them. Elixir finds an implementation by its name and its attribute
# `__impl__`, in any package, whenever the protocol is compiled or consolidated.

for {protocol, type, function, names, module, delegate} <- [
      {Kino.Render, Python.Object, :to_livebook, [:object], Python.Livebook, :render},
      {Table.Reader, Python.Object, :init, [:object], Python.Livebook, :reader},
      {FLAME.Trackable, Python.Object, :track, [:term, :pids, :node], Python.Remote.Trackable,
       :track},
      {FLAME.Trackable, Python.Stream, :track, [:term, :pids, :node], Python.Remote.Trackable,
       :track}
    ] do
  arguments = for name <- names, do: Macro.var(name, nil)

  if Code.ensure_loaded?(protocol) do
    defimpl protocol, for: type do
      defdelegate unquote(function)(unquote_splicing(arguments)),
        to: module,
        as: delegate
    end
  else
    defmodule Module.concat(protocol, type) do
      @moduledoc false

      Module.register_attribute(__MODULE__, :__impl__, persist: true)
      @__impl__ [protocol: protocol, for: type]

      def __impl__(:protocol), do: unquote(protocol)
      def __impl__(:for), do: unquote(type)
      # Elixir before 1.19 asks for it.
      def __impl__(:target), do: __MODULE__

      defdelegate unquote(function)(unquote_splicing(arguments)),
        to: module,
        as: delegate
    end
  end
end
