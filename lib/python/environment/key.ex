defmodule Python.Environment.Key do
  @moduledoc false

  # What an environment is found by. The request is all that is asked for: it is known without running anything, so
  # a start finds its environment by it. The key of an environment is the request and the interpreter that it was made
  # with. Neither contains a secret.

  alias Python.Environment.{Lock, Requirements, Secrets, Spec}

  # Changes when environments are made in another way.
  @format 1

  @doc "The request of a spec."
  @spec request(Spec.t()) :: String.t()
  def request(%Spec{} = spec) do
    hash({@format, spec.version, contents(spec), variables(spec.env), platform()})
  end

  @doc "The key of an environment for a request, made with this interpreter."
  @spec environment(String.t(), Python.Interpreter.t()) :: String.t()
  def environment(request, interpreter) do
    hash(
      {@format, request, interpreter.build, interpreter.version_string, interpreter.base_prefix,
       interpreter.base_exec_prefix, interpreter.free_threaded, interpreter.debug}
    )
  end

  # What a lock pins is the same from any index.
  defp contents(spec) do
    case Lock.read(spec) do
      {:ok, lock} ->
        {:lock, lock, Requirements.inputs(spec), place(spec)}

      :none ->
        {:inputs, Requirements.inputs(spec), indexes(spec), Requirements.files(spec), place(spec)}
    end
  end

  # A project's own code is used where it stands.
  defp place(%{project: folder}), do: folder

  defp indexes(spec) do
    {spec.index && Secrets.without(spec.index), Enum.map(spec.extra_index, &Secrets.without/1),
     Enum.map(spec.find_links, &Secrets.without/1)}
  end

  # A compiler's flags matter, as do uv's own; passwords, proxies and certificates do not.
  defp variables(env) do
    for {name, value} <- Enum.sort(env),
        not Secrets.name?(name),
        not (name =~ ~r/PROXY|CERT|NETRC|CACHE|TIMEOUT|\AHOME\z/i),
        do: {name, Secrets.without(value)}
  end

  defp platform, do: :erlang.system_info(:system_architecture)

  # MD5 is at hand without the application :crypto, which a release may lack, and is not asked to be more than a name.
  @doc "The name of a term."
  @spec hash(term) :: String.t()
  def hash(term) do
    term
    |> :erlang.term_to_binary(minor_version: 2)
    |> :erlang.md5()
    |> Base.encode16(case: :lower)
  end
end
