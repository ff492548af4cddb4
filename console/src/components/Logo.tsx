export function Logo({ size }: { size: number }) {
  const src = `${import.meta.env.BASE_URL}favicon.svg`;
  return <img src={src} width={size} height={size} alt="" className="logo" />;
}
