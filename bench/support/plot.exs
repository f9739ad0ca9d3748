defmodule Bench.Plot do
  @moduledoc false

  # SVG of lines in panels, one below the other.

  alias Bench.Line

  @width 900
  @left 80
  @right 170
  @panel 150
  @gap 46
  @top 40
  @colors ~w(#1565c0 #c62828 #2e7d32 #ef6c00 #6a1b9a #00838f)

  defstruct [:title, :unit, scale: :linear, lines: []]

  @doc """
  Draws panels: each has lines, `{name, [{x, y}]}`. `:x` names the horizontal axis, which is `:scale`, `:linear`, and then
  the same for all, or `:log`, as the vertical one of a panel is by its own `:scale`.
  """
  def svg(panels, options) do
    height = @top + length(panels) * (@panel + @gap)
    scale = options[:scale] || :linear
    all = Enum.flat_map(panels, & &1.lines)

    IO.iodata_to_binary([
      ~s(<svg xmlns="http://www.w3.org/2000/svg" width="#{@width}" height="#{height}" ),
      ~s(viewBox="0 0 #{@width} #{height}" font-family="sans-serif" font-size="12">\n),
      ~s(<rect width="100%" height="100%" fill="white"/>\n),
      for {panel, index} <- Enum.with_index(panels) do
        across = across(scale, if(scale == :log, do: panel.lines, else: all))
        panel(panel, across, options[:x], @top + index * (@panel + @gap))
      end,
      "</svg>\n"
    ])
  end

  defp across(scale, lines) do
    xs = for {_name, points} <- lines, {x, _y} <- points, do: x
    axis(scale, xs, false, @left, @width - @right)
  end

  defp panel(panel, across, x_name, top) do
    bottom = top + @panel
    ys = for {_name, points} <- panel.lines, {_x, y} <- points, do: y
    up = axis(panel.scale, ys, true, bottom, top)

    [
      text(@left, top - 8, "start", "#{panel.title}, #{panel.unit}"),
      for tick <- ticks(up) do
        y = place(up, tick)
        [rule(@left, y, @width - @right, y), text(@left - 6, y + 4, "end", number(up, tick))]
      end,
      for tick <- ticks(across) do
        x = place(across, tick)
        [rule(x, top, x, bottom), text(x, bottom + 15, "middle", number(across, tick))]
      end,
      text(@width - @right + 24, bottom + 15, "start", x_name),
      for {{name, points}, index} <- Enum.with_index(panel.lines) do
        color = Enum.at(@colors, rem(index, length(@colors)))

        [
          ~s(<polyline fill="none" stroke="#{color}" stroke-width="1.5" points="),
          Enum.map_intersperse(points, " ", fn {x, y} -> "#{place(across, x)},#{place(up, y)}" end),
          ~s("/>\n),
          ~s(<text x="#{@width - @right + 6}" y="#{top + 12 + 16 * index}" fill="#{color}">#{escape(name)}</text>\n)
        ]
      end
    ]
  end

  # `{scale, from, to, start, stop}`: values from..to are drawn at start..stop.
  defp axis(:log, values, _from_zero, start, stop) do
    powers = for value <- values, value > 0, do: :math.log10(value)
    from = powers |> Enum.min(fn -> 0 end) |> Float.floor() |> trunc()
    to = powers |> Enum.max(fn -> 1 end) |> Float.ceil() |> trunc()
    {:log, from, max(to, from + 1), start, stop}
  end

  defp axis(:linear, values, from_zero, start, stop) do
    from = if from_zero, do: 0, else: Enum.min(values, fn -> 0 end)
    to = Enum.max(values, fn -> 1 end)
    # With room above the highest.
    to = if from_zero, do: 1.1 * to, else: to
    {:linear, from, max(to, from + 1), start, stop}
  end

  defp place({:log, from, to, start, stop}, value),
    do: between(:math.log10(max(value, 1.0e-12)), from, to, start, stop)

  defp place({:linear, from, to, start, stop}, value), do: between(value, from, to, start, stop)

  defp between(value, from, to, start, stop),
    do: Float.round(start + (stop - start) * (value - from) / (to - from), 1)

  # 10 million has many digits.
  defp number({:log, _from, _to, _start, _stop}, tick) do
    {part, unit} =
      Enum.find([{1.0e9, " G"}, {1.0e6, " M"}, {1.0e3, " k"}], {1, ""}, &(tick >= elem(&1, 0)))

    number = tick / part
    if(number < 1, do: "#{number}", else: "#{round(number)}") <> unit
  end

  defp number(_axis, tick), do: Line.number(tick)

  defp ticks({:log, from, to, _start, _stop}),
    do: for(power <- from..to, do: :math.pow(10, power))

  defp ticks({:linear, from, to, _start, _stop}) do
    step = step((to - from) / 4)
    first = ceil(from / step)
    last = floor(to / step)
    for number <- first..last//1, do: number * step
  end

  # 1, 2 or 5 times a power of ten.
  defp step(about) do
    power = :math.pow(10, Float.floor(:math.log10(about)))
    power * Enum.find([1, 2, 5, 10], &(&1 * power >= about))
  end

  defp rule(x1, y1, x2, y2),
    do: ~s(<line x1="#{x1}" y1="#{y1}" x2="#{x2}" y2="#{y2}" stroke="#ddd"/>\n)

  defp text(x, y, anchor, content),
    do: ~s(<text x="#{x}" y="#{y}" text-anchor="#{anchor}">#{escape(content)}</text>\n)

  defp escape(content),
    do: content |> String.replace("&", "&amp;") |> String.replace("<", "&lt;")
end
