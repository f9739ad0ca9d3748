defmodule Python.Variables do
  @moduledoc false

  # The environment variables that Python starts with. The VM has an environment of its own, which
  # `System.put_env/2` changes; Python, its C libraries and its children have the one of C. So the VM's is made
  # C's before the interpreter starts (native/erlang_python_nif/src/python/interpreter/environ.rs).

  @type changes :: %{optional(String.t()) => String.t() | nil}

  @doc "The VM's environment with the changes of the setting `env`."
  @spec with_changes(changes) :: %{optional(String.t()) => String.t()}
  def with_changes(changes), do: change(System.get_env(), changes)

  @spec change(map, changes) :: map
  def change(env, changes) do
    # As a list: for a map the VM loads more modules.
    Enum.reduce(Map.to_list(changes), env, fn
      {name, nil}, env -> Map.delete(env, name)
      {name, value}, env -> Map.put(env, name, value)
    end)
  end

  @doc "The changes as an option of a port, which has the VM's environment by itself."
  @spec for_port(changes) :: [{charlist, charlist | false}]
  def for_port(changes) do
    for {name, value} <- changes do
      {String.to_charlist(name), if(value, do: String.to_charlist(value), else: false)}
    end
  end
end
