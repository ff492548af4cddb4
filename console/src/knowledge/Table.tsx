interface Props {
  rows: string[][];
  headerRows: number;
}

export function Table({ rows, headerRows }: Props) {
  return (
    <div className="table-box">
      <table>
        {headerRows > 0 && (
          <thead>
            {rows.slice(0, headerRows).map((row, index) => (
              <tr key={index}>
                {row.map((cell, column) => (
                  <th key={column}>{cell}</th>
                ))}
              </tr>
            ))}
          </thead>
        )}
        <tbody>
          {rows.slice(headerRows).map((row, index) => (
            <tr key={index}>
              {row.map((cell, column) => (
                <td key={column}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
